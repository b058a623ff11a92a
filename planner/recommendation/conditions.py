"""What a recommendation is asked under: limits, what is served afterwards, and how machines fail."""

import math
from dataclasses import dataclass

from planner.cost import Interruptions, checkpoint_bytes
from planner.errors import BadInputError
from planner.hardware import Instance, Price, Terms
from planner.layout_space import LayoutSpace
from planner.memory_assumptions import Assumptions
from planner.time_calibration import Calibration

HOUR_S = 3600.0
FAILURES_PER_DEVICE_HOUR = 419 / (54 * 24 * 16_384)
FAILURES_SOURCE = (
    "419 unexpected interruptions in 54 days on 16,384 H100 (Grattafiori et al. 2024, arXiv:2407.21783, section 3.3.4, "
    "2024-07)"
)
SNAPSHOT_BYTES_PER_S = 10e9
"""Of one device into its host's memory: under half of PCIe 4 x16. An estimate, used where nothing was measured."""
LAYOUTS = LayoutSpace(
    tp=(1, 2, 4, 8, 16), pp=(1, 2, 4, 8, 16), cp=(1, 2), ep=(1,), interleave=(1, 2, 4), micro_batch=(1, 2, 4, 8),
    even=True,
)  # fmt: skip
"""What frameworks do without custom work; all of it is computed for each size, machine and number of devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What there is. At least one of dollars, device-hours and the deadline."""

    usd: float | None = None
    """For training and inference together."""
    device_hours: float | None = None
    """Of accelerators, for training and inference together."""
    deadline_s: float | None = None
    """For training."""
    devices: int = 1024
    """The most accelerators at once."""

    def __post_init__(self) -> None:
        """Raise BadInputError where nothing limits, or a limit is not positive."""
        given = {"usd": self.usd, "device_hours": self.device_hours, "deadline_s": self.deadline_s}
        if all(value is None for value in given.values()):
            raise BadInputError("no budget: give dollars, device-hours or a deadline; without an end, more is better")
        for name, value in {**given, "devices": self.devices}.items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise BadInputError(f"{name} = {value}: must be positive")

    @property
    def has_single_answer(self) -> bool:
        """Whether the least loss is the answer: both what is spent and how long it takes are limited."""
        return self.deadline_s is not None and (self.usd is not None or self.device_hours is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What is assumed about the run and what follows it."""

    text_tokens: int = 4096
    """Tokens of one text."""
    infer_tokens: float = 0.0
    """Tokens that the model reads and writes over its life, on machines of the same kind."""
    infer_mfu: float = 0.2
    """Of the peak, at 2N FLOPs a token. An assumption: serving reaches less than training."""
    checkpoint_s: float | None = None
    """What a checkpoint keeps training waiting, measured. None: the copy into the host's memory, estimated."""
    restart_s: float = 60.0
    failures_per_device_hour: float = FAILURES_PER_DEVICE_HOUR
    reclaims_per_instance_hour: float = 0.05
    """Of spot instances. An assumption: providers publish bands only."""
    calibrations: tuple[Calibration, ...] = ()
    space: LayoutSpace = LAYOUTS
    assumptions: Assumptions | None = None

    def __post_init__(self) -> None:
        """Raise BadInputError for what cannot be."""
        if not 0.0 < self.infer_mfu <= 1.0:
            raise BadInputError(f"infer_mfu = {self.infer_mfu}: must lie in (0, 1]")
        if not (math.isfinite(self.infer_tokens) and self.infer_tokens >= 0.0):
            raise BadInputError(f"infer_tokens = {self.infer_tokens}: must be finite and at least 0")
        if self.text_tokens < 1:
            raise BadInputError(f"text_tokens = {self.text_tokens}: must be at least 1")

    def interruptions(self, machines: "Machines", params: float) -> Interruptions:
        """Return how often machines of a kind go away in a run of a model, and what each time costs."""
        rate = self.failures_per_device_hour * machines.instance.count
        if machines.terms is Terms.SPOT:
            rate += self.reclaims_per_instance_hour
        saved = checkpoint_bytes(params, copies=1) / machines.devices / SNAPSHOT_BYTES_PER_S
        checkpoint_s = saved if self.checkpoint_s is None else self.checkpoint_s
        return Interruptions(per_instance_hour=rate, checkpoint_s=checkpoint_s, restart_s=self.restart_s)


@dataclass(frozen=True, slots=True)
class Machines:
    """So many devices of one kind, bought in one way. `price` is None where none is known."""

    instance: Instance
    devices: int
    terms: Terms
    price: Price | None

    @property
    def usd_per_device_hour(self) -> float | None:
        """Dollars, of the price's day."""
        return None if self.price is None else self.price.usd_per_hour / self.instance.count

    def infer_hours(self, params: float, conditions: Conditions) -> float:
        """Return the device-hours of inference: 2 N D (Sardana and Frankle 2023, arXiv:2401.00448, eq. 2)."""
        peak = self.instance.accelerator.bf16_flops_per_s
        return 2.0 * params * conditions.infer_tokens / (peak * conditions.infer_mfu) / HOUR_S

    def training_s(self, limits: Limits, params: float, conditions: Conditions) -> tuple[float, str]:
        """Return how long a model may be trained, and what ends it. Not positive: inference alone takes it all."""
        inference = self.infer_hours(params, conditions)
        ends = []
        if limits.deadline_s is not None:
            ends.append((limits.deadline_s, "the deadline"))
        if limits.device_hours is not None:
            ends.append(((limits.device_hours - inference) / self.devices * HOUR_S, "the device-hours"))
        if limits.usd is not None and self.usd_per_device_hour is not None:
            bought = limits.usd / self.usd_per_device_hour - inference
            ends.append((bought / self.devices * HOUR_S, "the dollars"))
        return min(ends) if ends else (0.0, "nothing: there is no price")
