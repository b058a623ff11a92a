"""Dollars of a run: time, machines, a dated price, what interruptions make it do again, and storage of checkpoints."""

import math
from dataclasses import dataclass, replace
from datetime import date

from planner.errors import BadInputError
from planner.hardware import Instance, Price

HOUR_S = 3600.0
MONTH_S = 365.25 / 12.0 * 24.0 * HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruptions:
    """How often machines go away, and what that costs."""

    per_instance_hour: float = 0.0
    """Failures and reclaims of one instance in an hour. 0: none are expected."""
    checkpoint_s: float = 0.0
    """What a checkpoint keeps training waiting. Measured, of the store in question."""
    restart_s: float = 0.0
    """From an interruption until training goes on."""

    def __post_init__(self) -> None:
        """Raise BadInputError for what cannot be."""
        for name in ("per_instance_hour", "checkpoint_s", "restart_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise BadInputError(f"{name} = {value}: must be at least 0")

    def mean_between_s(self, instances: int) -> float:
        """Return the mean time between interruptions of a run on `instances` instances: any of them stops it."""
        rate = self.per_instance_hour * instances / HOUR_S
        return 1.0 / rate if rate > 0.0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class StoragePrice:
    """Dollars for a gigabyte (1e9 bytes) in a month, on the day on which they were true."""

    usd_per_gb_month: float
    as_of: date
    source: str

    def __post_init__(self) -> None:
        """Raise BadInputError for a price without its date."""
        if not self.usd_per_gb_month > 0.0:
            raise BadInputError(f"usd_per_gb_month = {self.usd_per_gb_month} ({self.source}): must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run costs on one kind of machine. Every dollar is of the price's date."""

    instance: str
    instances: int
    price: Price
    productive_s: float
    wall_s: float
    """With checkpoints, what is done again, and restarts."""
    checkpoint_every_s: float | None
    """The interval that loses least. None: no interruptions are expected."""
    compute_usd: float
    storage_usd: float | None
    """None: no price of storage was given."""
    total_usd: float

    @property
    def overhead(self) -> float:
        """What interruptions add, as a fraction of the productive time."""
        return self.wall_s / self.productive_s - 1.0


def checkpoint_interval_s(checkpoint_s: float, mean_between_s: float) -> float:
    """Return the time between checkpoints that loses least (Young 1974; Daly 2006, equation 37).

    sqrt(2 C M) (1 + sqrt(C / 2M) / 3 + (C / 2M) / 9) - C for C < 2 M, else M.
    """
    if checkpoint_s >= 2.0 * mean_between_s:
        return mean_between_s
    ratio = checkpoint_s / (2.0 * mean_between_s)
    return math.sqrt(2.0 * checkpoint_s * mean_between_s) * (1.0 + math.sqrt(ratio) / 3.0 + ratio / 9.0) - checkpoint_s


def expected_wall_s(
    productive_s: float, interval_s: float, interruptions: Interruptions, mean_between_s: float
) -> float:
    """Return the expected time of a run under random interruptions (Daly 2006, equation 20).

    M exp(R / M) (exp((tau + C) / M) - 1) T / tau. Raises BadInputError where it would practically never end.
    """
    if math.isinf(mean_between_s):
        return productive_s
    exponent = (interval_s + interruptions.checkpoint_s) / mean_between_s
    if exponent + interruptions.restart_s / mean_between_s > 50.0:
        raise BadInputError(f"an interruption every {mean_between_s:.0f} s: no checkpoint would ever be reached")
    lost = mean_between_s * math.exp(interruptions.restart_s / mean_between_s) * math.expm1(exponent)
    return lost * productive_s / interval_s


def interrupted_run_s(
    instances: int, productive_s: float, interruptions: Interruptions
) -> tuple[float, float | None]:
    """Return the time of a run on so many instances, and the time between checkpoints that loses least.

    Without interruptions there is no such time, and no time is lost. Raises as `expected_wall_s` does.
    """
    between_s = interruptions.mean_between_s(instances)
    if math.isinf(between_s):
        return productive_s, None
    # A snapshot that costs nothing would be made all the time; a second is the least that is counted.
    counted = replace(interruptions, checkpoint_s=max(interruptions.checkpoint_s, 1.0))
    interval = checkpoint_interval_s(counted.checkpoint_s, between_s)
    return expected_wall_s(productive_s, interval, counted, between_s), interval


def estimate_cost(
    instance: Instance,
    accelerators: int,
    productive_s: float,
    price: Price,
    *,
    interruptions: Interruptions | None = None,
    stored_bytes: float = 0.0,
    storage: StoragePrice | None = None,
) -> Cost:
    """Return what a run costs.

    Args:
        instance: what is rented, as many as `accelerators` need; whole instances are paid.
        accelerators: that the layout uses.
        productive_s: of the run without interruptions.
        price: of one instance.
        interruptions: None: none are expected, and no time for checkpoints is counted.
        stored_bytes: of the checkpoints that are kept, for the run's time.
        storage: None: storage is not priced.
    """
    instances = instance.instances_for(accelerators)
    wall_s, interval = interrupted_run_s(instances, productive_s, interruptions or Interruptions())
    compute = instances * price.usd_per_hour * wall_s / HOUR_S
    kept = None if storage is None else stored_bytes / 1e9 * storage.usd_per_gb_month * wall_s / MONTH_S
    return Cost(
        instance=instance.name,
        instances=instances,
        price=price,
        productive_s=productive_s,
        wall_s=wall_s,
        checkpoint_every_s=interval,
        compute_usd=compute,
        storage_usd=kept,
        total_usd=compute + (kept or 0.0),
    )


def checkpoint_bytes(trained: float, frozen: float = 0.0, *, copies: int = 2) -> float:
    """Return what `copies` checkpoints take: an fp32 master and two moments per trained weight; frozen ones once."""
    return copies * 12.0 * trained + 2.0 * frozen
