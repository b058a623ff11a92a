"""Durable state of a run: snapshots in shared memory, segments and commits in a store. Knows neither Ray nor the queue."""
