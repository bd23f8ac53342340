"""Timed tasks."""
