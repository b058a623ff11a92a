"""What a machine is and what it costs: accelerators, instances with their links, and prices that carry their date."""

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from planner.errors import BadInputError

STALE_AFTER_DAYS = 90
"""Prices move (p5.48xlarge: 98.32 to 55.04 dollars within 2025): an older one is shown with a warning."""


class Terms(StrEnum):
    """How an instance is bought."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device as one rank sees it. Peaks are dense, in operations per second; None: not known."""

    name: str
    title: str
    platform: str
    """cuda, neuron or cpu."""
    memory_bytes: int
    """What a process can have, not what the label says."""
    memory_bytes_per_s: float
    bf16_flops_per_s: float
    fp8_flops_per_s: float | None
    fp32_flops_per_s: float | None
    source: str

    def peak_flops_per_s(self, precision: str) -> float:
        """Return the peak for products of `precision` (bf16, fp8 or fp32). Raises BadInputError where none is known."""
        peaks = {"bf16": self.bf16_flops_per_s, "fp8": self.fp8_flops_per_s, "fp32": self.fp32_flops_per_s}
        found = peaks.get(precision)
        if found is None:
            known = ", ".join(name for name, peak in peaks.items() if peak is not None)
            raise BadInputError(f"{self.name}: no peak is known in {precision}; known are {known}: override it")
        return found


@dataclass(frozen=True, slots=True)
class Instance:
    """One machine as it is rented: `count` accelerators and the links between them and to other machines."""

    name: str
    accelerator: Accelerator
    count: int
    intra_node_bytes_per_s: float
    """Of one accelerator, in one direction."""
    inter_node_bytes_per_s: float
    """Of the whole instance, in one direction."""
    source: str

    @property
    def inter_node_share_bytes_per_s(self) -> float:
        """One accelerator's part of the instance's link."""
        return self.inter_node_bytes_per_s / self.count

    def instances_for(self, accelerators: int) -> int:
        """Return how many instances must be rented."""
        return math.ceil(accelerators / self.count)


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for an hour of one instance, on the day on which they were true. There is no price without that day."""

    usd_per_hour: float
    as_of: date
    terms: Terms
    region: str
    source: str

    def __post_init__(self) -> None:
        """Raise BadInputError for a price without its date or source, or that is not positive."""
        if not isinstance(self.as_of, date):
            raise BadInputError(f"price {self.usd_per_hour} of {self.source!r}: as_of = {self.as_of!r}: must be a date")
        if not (math.isfinite(self.usd_per_hour) and self.usd_per_hour > 0.0):
            raise BadInputError(f"usd_per_hour = {self.usd_per_hour} ({self.source}): must be positive")
        if not self.source:
            raise BadInputError(f"price {self.usd_per_hour} of {self.as_of}: must name its source")

    def age_days(self, today: date) -> int:
        """Return how old the price is."""
        return (today - self.as_of).days

    def is_stale(self, today: date) -> bool:
        """Say whether the price must be shown with a warning: it is old, or dated in the future."""
        return not 0 <= self.age_days(today) <= STALE_AFTER_DAYS

    def described(self, today: date) -> str:
        """Return the price with its date, terms and source, and a warning if it is old."""
        age = self.age_days(today)
        words = f"{age} days old" if age >= 0 else f"dated {-age} days in the future"
        old = f", {words}: check it" if self.is_stale(today) else ""
        terms = self.terms.replace("_", " ")
        return f"${self.usd_per_hour:.2f}/h {terms} {self.region} as of {self.as_of} ({self.source}{old})"
