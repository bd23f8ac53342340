"""Wording: events and views to text. Pure, and the only place where messages are worded."""
