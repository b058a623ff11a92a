"""Thousands of runs: a durable queue. See docs/batch.md."""
