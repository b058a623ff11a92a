"""Sections about a model on machines: memory, time, the best layouts, and what a run costs on each kind of machines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from planner.cost import Interruptions
from planner.cost_comparison import Offer, priced
from planner.errors import BadInputError, DoesNotFitError
from planner.hardware import Catalogue, Instance
from planner.layout_search import Candidate, Search, Workload, search_layouts
from planner.layout_space import EVERYTHING, LayoutSpace
from planner.quantities import show_count
from planner.recommendation.conditions import LAYOUTS
from planner.report.page import Block, Facts, Notes, Picture, Section, Table
from planner.system_plots import memory_waterfall, price_performance, time_breakdown
from planner.time_calibration import Calibration, calibration_for

_GIB = 1 << 30
_BEST = 5
_PRICES = "Dollars over time, each with the day of its price; a line joins those that none beats in both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A model, how much of it is trained how long, and on what."""

    name: str
    workload: Workload
    params: float
    instance: Instance
    devices: int
    samples: int
    """Of a step."""
    tokens: float
    """Of the run; samples, where the model has no tokens."""
    catalogue: Catalogue
    calibrations: tuple[Calibration, ...] = ()
    today: date

    @property
    def steps(self) -> int:
        """Steps of the run."""
        each = self.workload.time(1).positions * self.samples
        return max(1, round(self.tokens / each))

    def search(self, instance: Instance, devices: int, space: LayoutSpace = EVERYTHING, best: int = _BEST) -> Search:
        """Return the best layouts on one kind of machines. Raises BadInputError."""
        constants = calibration_for(instance.accelerator.name, self.calibrations)
        return search_layouts(
            self.workload, devices, self.samples, instance, constants, space=space, best=best
        )


def system_sections(planned: Planned, folder: Path) -> list[Section]:
    """Return layouts, memory, time and cost. Pictures are drawn in `folder`.

    Raises DoesNotFitError where no layout fits, BadInputError where there is none or matplotlib is missing.
    """
    found = planned.search(planned.instance, planned.devices)
    if not found.best:
        raise DoesNotFitError(f"{planned.name} on {planned.devices} x {planned.instance.name}: {found.binding}")
    best = found.best[0]
    title = f"{planned.name}: {best.verdict.layout.described()}"
    memory = memory_waterfall(best.verdict, folder / "memory.svg", title=title)
    time = time_breakdown(best.step, folder / "time.svg", title=title)
    return [
        _layouts(planned, found),
        _memory(best, Picture.of(memory, "The fullest rank's memory, part by part, beside what there is")),
        _time(planned, best, Picture.of(time, "Where a step's time goes")),
        _cost(planned, folder),
    ]


def _layouts(planned: Planned, found: Search) -> Section:
    rows = tuple(
        (
            one.verdict.layout.described(), f"{one.step.total_s:.4g}", f"{100 * one.step.mfu:.1f}",
            f"{one.verdict.estimate.total_bytes / _GIB:.1f}",
        )
        for one in found.best
    )  # fmt: skip
    facts = (
        ("model", f"{planned.name}, {show_count(planned.params)} parameters, {planned.workload.limits.layers} layers"),
        ("machines", f"{planned.devices} x {planned.instance.accelerator.title} ({planned.instance.name})"),
        ("step", f"{planned.samples} samples"),
        ("binds", found.binding),
    )
    lead = f"All {found.looked_at:,} layouts were computed; {found.fitting:,} fit. These are the fastest that do."
    return Section("Layouts", lead, (Facts(facts), Table(("layout", "step, s", "MFU %", "memory, GiB"), rows)))


def _memory(best: Candidate, picture: Picture) -> Section:
    estimate, capacity = best.verdict.estimate, best.verdict.capacity_bytes
    total, parts = estimate.total_bytes, [(name, size) for name, size in estimate.parts if size]
    rows = tuple((name, f"{size / _GIB:.2f}", f"{100 * size / total:.1f}") for name, size in parts)
    lead = (
        f"The fullest rank is on pipeline stage {estimate.stage}. At its highest moment, the {estimate.moment}, it "
        f"holds {estimate.total_bytes / _GIB:.1f} of {capacity / _GIB:.1f} GiB."
    )
    return Section("Memory", lead, (picture, Table(("part", "GiB", "%"), rows)))


def _time(planned: Planned, best: Candidate, picture: Picture) -> Section:
    step = best.step
    low, high = step.interval_s()
    facts = (
        ("step", f"{step.total_s:.4g} s, {low:.4g} to {high:.4g} s"),
        ("run", f"{planned.steps:,} steps, {show_count(planned.tokens)} tokens, {_days(planned.steps * step.total_s)} "
                f"({_days(planned.steps * low)} to {_days(planned.steps * high)}) without interruptions"),
        ("speed", f"{step.positions_per_s_per_device:,.0f} positions a second on each accelerator, MFU {step.mfu:.1%}"),
        ("constants", step.provenance),
    )  # fmt: skip
    rows = tuple((name, f"{value:.4g}", f"{100 * value / step.total_s:.1f}") for name, value in step.parts if value)
    return Section("Time", "", (Facts(facts), picture, Table(("part", "s", "%"), rows)))


def _cost(planned: Planned, folder: Path) -> Section:
    offers = [_offer(planned, instance) for instance in _priced(planned)]
    offers.sort(key=lambda one: math.inf if one.cost is None else one.cost.total_usd)
    made = [one for one in offers if one.cost is not None]
    rows = tuple(_row(one, planned.today) for one in offers)
    columns = ("instance", "number", "$", "from", "to", "days", "MFU %", "$/h", "as of", "note")
    blocks: list[Block] = [Table(columns, rows)]
    if made:
        title = f"{planned.name}, {show_count(planned.tokens)} tokens"
        drawn = price_performance(made, folder / "price.svg", title=title)
        blocks.append(Picture.of(drawn, _PRICES))
    missing = [f"{name}: no price is known ({why})" for name, why in planned.catalogue.why_no_price.items()]
    lead = (
        f"The same run on every kind of machines that has a price, on about {planned.devices} accelerators, each with "
        "the fastest even layout that fits. Ranges are those of the time. Interruptions are not counted."
    )
    return Section("Cost", lead, (*blocks, Notes(tuple(missing))))


def _priced(planned: Planned) -> Sequence[Instance]:
    catalogue = planned.catalogue
    return [one for one in catalogue.instances.values() if catalogue.price(one) and one.accelerator.platform != "cpu"]


def _offer(planned: Planned, instance: Instance) -> Offer:
    price = planned.catalogue.price(instance)
    assert price is not None
    devices = instance.count * max(1, planned.devices // instance.count)
    try:
        found = planned.search(instance, devices, LAYOUTS, best=1)
    except BadInputError as error:
        return Offer(instance, price, note=str(error))
    if not found.best:
        return Offer(instance, price, note=found.binding)
    best = found.best[0]
    return priced(
        instance, price, best.verdict.layout, best.step, planned.steps, weights=(planned.params, 0.0),
        interruptions=Interruptions(), note=best.verdict.layout.described(),
    )  # fmt: skip


def _row(offer: Offer, today: date) -> tuple[str, ...]:
    price, cost, step = offer.price, offer.cost, offer.step
    if price is None:
        return (offer.instance.name, *["-"] * 8, offer.note)
    dated = (f"{price.usd_per_hour:.2f}", f"{price.as_of}{', old' if price.is_stale(today) else ''}")
    if cost is None or step is None or offer.interval_usd is None:
        return (offer.instance.name, *["-"] * 6, *dated, offer.note)
    note = offer.note + ("; time indicative" if "nothing was measured" in step.provenance else "")
    dollars = (f"{usd:,.0f}" for usd in (cost.total_usd, *offer.interval_usd))
    return (
        cost.instance, str(cost.instances), *dollars, f"{cost.wall_s / 86_400:.3g}", f"{100 * step.mfu:.1f}", *dated,
        note,
    )  # fmt: skip


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:.3g} days" if seconds >= 86_400 else f"{seconds / 3600:.3g} hours"
