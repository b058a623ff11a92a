"""Architectures as lists of operations: what a model computes, keeps and moves at a given shape of batch."""
