"""Fixtures of the tests that kill processes."""

from fixtures_seaweedfs import seaweedfs

__all__ = ["seaweedfs"]
