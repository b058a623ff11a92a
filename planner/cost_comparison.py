"""One run on several kinds of machines: for each the layout that fits there, its time and its dollars."""

from dataclasses import dataclass

from planner.cost import Cost, Interruptions, StoragePrice, checkpoint_bytes, estimate_cost
from planner.hardware import Instance, Price
from planner.layout import Layout
from planner.time_step import StepTime


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of machine. Without a price or a layout that fits there is no cost, and `note` says why."""

    instance: Instance
    price: Price | None
    layout: Layout | None = None
    step: StepTime | None = None
    cost: Cost | None = None
    note: str = ""

    @property
    def interval_usd(self) -> tuple[float, float] | None:
        """The range of the dollars that the range of the time makes."""
        if self.cost is None or self.step is None:
            return None
        low, high = self.step.interval_s()
        return self.cost.total_usd * low / self.step.total_s, self.cost.total_usd * high / self.step.total_s


def priced(  # noqa: PLR0913 - what one offer is made of
    instance: Instance,
    price: Price,
    layout: Layout,
    step: StepTime,
    steps: int,
    *,
    weights: tuple[float, float],
    interruptions: Interruptions,
    storage: StoragePrice | None = None,
    note: str = "",
) -> Offer:
    """Return the offer of one kind of machine for `steps` steps; `weights` are those trained and those frozen."""
    cost = estimate_cost(
        instance,
        layout.devices,
        steps * step.total_s,
        price,
        interruptions=interruptions,
        stored_bytes=checkpoint_bytes(*weights),
        storage=storage,
    )
    return Offer(instance, price, layout, step, cost, note)
