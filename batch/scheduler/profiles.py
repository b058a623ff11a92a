"""Shapes with the pool that they insist on: what decides where a job fits, and what many jobs have in common."""

from dataclasses import dataclass

from batch.model import Shape


@dataclass(frozen=True, slots=True)
class Profile:
    """A shape and the pool it insists on: what decides where a job fits. `kind`: 0 accelerators, 1 CPUs.

    `chips` of its kind in all, `bundle` of them on each node; `divisor` is policy.divisor_of them.
    """

    number: int
    shape: Shape
    pool: str | None
    kind: int
    chips: int
    bundle: int
    divisor: float
