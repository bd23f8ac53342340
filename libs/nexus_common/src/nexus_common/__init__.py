"""What services say to each other, and how a service lives."""
