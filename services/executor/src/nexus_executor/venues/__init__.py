"""Brokers: one file a venue; a vendor's type never leaves its file."""
