"""Sessions, roles, approvals and notices."""
