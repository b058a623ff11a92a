"""The scheduler under a virtual clock, on recorded traces."""
