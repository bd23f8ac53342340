"""Cortex's ways to what lies outside: artefacts of models, and what operators ask of them."""
