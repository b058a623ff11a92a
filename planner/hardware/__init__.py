"""Accelerators, instances and their dated prices."""
