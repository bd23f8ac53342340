"""Features, regime and strategies: signals with their reasons."""
