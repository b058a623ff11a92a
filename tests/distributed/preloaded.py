"""Imported once by the process from which the ranks of distributed tests are forked: importing takes seconds.

Nothing here computes: autograd and OpenMP do not survive a fork.
"""

import os

os.environ["DS_ACCELERATOR"] = "cpu"
os.environ["OMP_NUM_THREADS"] = "1"

import deepspeed
from torch.distributed import fsdp, tensor

__all__ = ["deepspeed", "fsdp", "tensor"]
