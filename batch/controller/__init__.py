"""The process that serves the queue: HTTP, tokens, the scheduler's loop. See docs/batch.md."""
