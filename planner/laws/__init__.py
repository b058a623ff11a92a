"""Scaling laws: how loss depends on parameters, tokens and more, and their fits to runs. See docs/planner.md."""
