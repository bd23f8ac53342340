"""Mode gate, orders, protection, reconciliation: the venue fence."""
