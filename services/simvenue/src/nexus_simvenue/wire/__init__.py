"""The venues' own protocols, spoken by the simulated exchange: what a vendor's SDK connects to."""
