"""What this version is known not to meet, with the value that it gives and why. Nothing else may be missed.

A miss is known by its value: where ours moves away from it, `plan verify` fails, whatever is said here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from planner.verification.check import Check

TOLERANCE = 0.01
"""Relative: how far a known miss may move between machines."""


@dataclass(frozen=True, slots=True)
class KnownMiss:
    """What ours is where it is not what the source says."""

    found: float
    why: str


KNOWN_MISSES: Mapping[str, Mapping[str, KnownMiss]] = {
    "chinchilla_tables": {
        "1.1B: FLOPs / 6ND": KnownMiss(
            1.084322909,
            "the row rounds N to 1.1B; with the N of its shape, 13 width² layers + 32,000 width = 1,143M, it is 1.04 "
            "as printed",
        ),
        "67B: tokens": KnownMiss(
            1.432835821e12,
            "the table's own numbers do not agree: 6 x 67e9 x 1.5e12 is 6.03e23, and 5.76e23 pays for 1.43e12 tokens",
        ),
    },
    "forecasts": {
        "loss error at 30 times the compute, any set beyond approach 3's": KnownMiss(
            0.00871653, "OLMo's wikitext, of which two runs are tests: 1.04 % against .17 %"
        ),
    },
    "step_law": {
        "learning_rate: exponent b": KnownMiss(
            0.1952829756, "ours are vertices of bowls through the best runs of 17 cells, not their best runs"
        ),
    },
    "torchtitan": {
        "Llama 3.1 8B, full recomputation, 8 GPUs, 32,768 tokens, GiB": KnownMiss(
            99.7816, "19 % above; which part is too large was not measured on a GPU"
        ),
        "Llama 3.1 70B, FSDP 32 TP 8, GiB": KnownMiss(
            63.5785, "12 % below; which part is too small was not measured on a GPU: it says \"fits\" too early"
        ),
    },
}
"""By suite and name of the check."""


def with_known_misses(suite: str, checks: Sequence[Check]) -> tuple[Check, ...]:
    """Return the checks of a suite; those that miss as they are known to are marked, and say why."""
    known = KNOWN_MISSES.get(suite, {})
    return tuple(_judged(check, known.get(check.name)) for check in checks)


def _judged(check: Check, known: KnownMiss | None) -> Check:
    if check.is_met or known is None:
        return check
    if abs(check.found - known.found) <= TOLERANCE * abs(known.found):
        return replace(check, is_known_miss=True, note=known.why)
    return replace(check, note=f"it was {known.found:.10g} until now: {known.why}")
