"""Who runs next, where, and why not yet: `decide(state, now)` and what it needs. No clock, no files, no threads."""
