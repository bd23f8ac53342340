"""The simulated exchange as a server with its own ledger."""
