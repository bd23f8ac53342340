"""The venues whose market data is read live; `table` says how each is made."""
