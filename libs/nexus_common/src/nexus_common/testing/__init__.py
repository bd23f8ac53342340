"""Imported by tests only: the decider spec and the contracts that stores and buses must keep."""
