"""Runs what the controller leases to a pool: one agent for each Ray cluster or machine. See docs/jobs.md."""
