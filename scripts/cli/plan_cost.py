"""`plan cost`: the dollars of a run, on one kind of machine or on several beside each other."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode, PlanExitCode
from scripts.cli.output import (
    JsonOption,
    OutputFormat,
    OutputOption,
    format_duration,
    print_facts,
    print_json,
    print_table,
    say,
)
from scripts.cli.plan_options import (
    System,
    SystemOptions,
    dated_price,
    picture_in,
    show_pictures,
    today,
    with_system_options,
)

if TYPE_CHECKING:
    from planner.cost import Cost, Interruptions, StoragePrice
    from planner.cost_comparison import Offer
    from planner.hardware import Price

_COLUMNS = ("instance", "number", "$", "hours", "MFU %", "$/h", "as of", "note")


@with_system_options
def cost(  # noqa: PLR0913 - the options of one command line
    options: SystemOptions,
    *,
    tokens: Annotated[str | None, typer.Option(help="tokens (or samples) of the run: 1T")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="steps of the run")] = None,
    compare: Annotated[str | None, typer.Option(help="instances with commas between, or all")] = None,
    price: Annotated[str | None, typer.Option(help="dollars per instance-hour and their day: 20.5@2026-11-01")] = None,
    spot: Annotated[bool, typer.Option("--spot", help="at spot prices: yours, by --price or --machines")] = False,
    interruptions: Annotated[float, typer.Option(min=0, help="of one instance in an hour")] = 0.0,
    checkpoint_s: Annotated[float, typer.Option(min=0, help="that a checkpoint keeps training waiting")] = 0.0,
    restart_s: Annotated[float, typer.Option(min=0, help="from an interruption until training goes on")] = 60.0,
    storage_price: Annotated[str | None, typer.Option(help="dollars per GB-month and their day")] = None,
    plot: Annotated[Path | None, typer.Option(help="folder for a picture of price and time")] = None,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Estimate what a run costs; with --compare, on several kinds of machines, each with a layout that fits there."""
    from planner.cost import Interruptions
    from planner.hardware import Terms

    terms = Terms.SPOT if spot else Terms.ON_DEMAND
    expected = Interruptions(per_instance_hour=interruptions, checkpoint_s=checkpoint_s, restart_s=restart_s)
    stored = _storage(storage_price)
    names = _names(options, compare)
    offers = [_offer(options, name, (tokens, steps), _price(price, terms), terms, expected, stored) for name in names]
    is_json = as_json or output is OutputFormat.JSON
    pictures: list[Path] = []
    if plot is not None:
        from planner.system_plots import price_performance

        pictures.append(price_performance(offers, picture_in(plot, "cost"), title=" ".join(options.model)))
    if is_json:
        shown = [_to_json(offer) for offer in offers]
        print_json({"offers": shown, "pictures": [str(path) for path in pictures]})
    elif compare is None:
        _print_one(offers[0])
    else:
        _print_table(offers)
    show_pictures(pictures, as_json=is_json)
    if compare is None and offers[0].cost is None and offers[0].price is not None:
        return PlanExitCode.DOES_NOT_FIT
    return ExitCode.OK


def _names(options: SystemOptions, compare: str | None) -> list[str]:
    if compare is None:
        return [options.hw]
    if compare != "all":
        names = [name.strip() for name in compare.split(",") if name.strip()]
        if not names:
            raise CommandError(f"--compare {compare}: names no instance: give some with commas between, or all")
        return names
    from planner.hardware import load_catalogue

    instances = load_catalogue(options.machines).instances
    return [name for name, one in instances.items() if one.accelerator.platform != "cpu"]


def _price(text: str | None, terms: Any) -> "Price | None":
    from planner.hardware import Price

    if text is None:
        return None
    amount, day = dated_price(text, "--price")
    return Price(amount, day, terms, "-", "--price")


def _storage(text: str | None) -> "StoragePrice | None":
    from planner.cost import StoragePrice

    if text is None:
        return None
    amount, day = dated_price(text, "--storage-price")
    return StoragePrice(usd_per_gb_month=amount, as_of=day, source="--storage-price")


def _offer(
    options: SystemOptions,
    name: str,
    length: tuple[str | None, int | None],
    price: "Price | None",
    terms: Any,
    expected: "Interruptions",
    storage: "StoragePrice | None",
) -> "Offer":
    from planner.cost_comparison import Offer, priced
    from planner.memory_verdict import nearest_fit

    system = System(replace(options, hw=name))
    found = price or system.catalogue.price(system.instance, terms)
    if found is None:
        why = system.catalogue.why_no_price.get(system.instance.name, "not in the table")
        return Offer(system.instance, found, note=f"no {terms.replace('_', ' ')} price: {why}")
    steps = system.steps(*length)
    if steps is None:
        raise CommandError("--tokens or --steps: how long is the run?")
    verdict, changes = system.verdict(), ""
    if not verdict.fits:
        nearest = nearest_fit(system.memory_profile, system.layout, system.limits, system.instance.accelerator)
        if nearest is None:
            return Offer(system.instance, found, note="does not fit, nor does any layout near it")
        verdict, changes = nearest.verdict, ", ".join(nearest.changes)
    step = system.step(verdict.layout)
    trained = system.model.parameters(trainable_only=True)
    frozen = system.model.parameters() - trained
    return priced(
        system.instance, found, verdict.layout, step, steps, weights=(trained, frozen), interruptions=expected,
        storage=storage, note=changes,
    )  # fmt: skip


def _to_json(offer: "Offer") -> dict[str, Any]:
    price, cost = offer.price, offer.cost
    return {
        "instance": offer.instance.name,
        "note": offer.note,
        "layout": None if offer.layout is None else offer.layout.described(),
        "price": None
        if price is None
        else {
            "usd_per_hour": price.usd_per_hour, "as_of": price.as_of.isoformat(), "terms": price.terms,
            "region": price.region, "source": price.source, "is_stale": price.is_stale(today()),
        },
        "cost": None if cost is None else _cost_json(cost),
        "interval_usd": None if offer.interval_usd is None else list(offer.interval_usd),
        "mfu": None if offer.step is None else offer.step.mfu,
        "provenance": None if offer.step is None else offer.step.provenance,
    }  # fmt: skip


def _cost_json(cost: "Cost") -> dict[str, Any]:
    names = ("instances", "productive_s", "wall_s", "overhead", "checkpoint_every_s", "compute_usd", "storage_usd",
             "total_usd")  # fmt: skip
    return {name: getattr(cost, name) for name in names}


def _print_one(offer: "Offer") -> None:
    if offer.price is None or offer.cost is None or offer.step is None or offer.layout is None:
        say(f"{offer.instance.name}: {offer.note}")
        return
    cost = offer.cost
    facts = {
        "machines": f"{cost.instances} x {cost.instance}, {offer.layout.devices} accelerators used",
        "layout": offer.layout.described() + (f" (changed to fit: {offer.note})" if offer.note else ""),
        "price": offer.price.described(today()),
        "time": f"{format_duration(cost.wall_s)}, of which {format_duration(cost.productive_s)} productive",
        "compute": f"${cost.compute_usd:,.0f}",
    }
    if cost.checkpoint_every_s is not None:
        every = format_duration(cost.checkpoint_every_s)
        facts["checkpoints"] = f"every {every} (Young/Daly), {cost.overhead:.2%} lost"
    facts["storage"] = "not priced: give --storage-price" if cost.storage_usd is None else f"${cost.storage_usd:,.2f}"
    low, high = offer.interval_usd or (cost.total_usd, cost.total_usd)
    facts["in all"] = f"${cost.total_usd:,.0f} (${low:,.0f} to ${high:,.0f})"
    facts["from"] = offer.step.provenance
    print_facts(facts)


def _print_table(offers: "list[Offer]") -> None:
    def row(offer: "Offer") -> tuple[object, ...]:
        price, cost, step = offer.price, offer.cost, offer.step
        if price is None or cost is None or step is None:
            return (offer.instance.name, None, None, None, None, None, None, offer.note)
        notes = [offer.note] if offer.note else []
        notes += ["old price"] if price.is_stale(today()) else []
        notes += ["time indicative"] if "nothing was measured" in step.provenance else []
        return (
            cost.instance, cost.instances, f"{cost.total_usd:,.0f}", f"{cost.wall_s / 3600:,.1f}",
            f"{100 * step.mfu:.1f}", f"{price.usd_per_hour:.2f}", str(price.as_of), "; ".join(notes) or "-",
        )  # fmt: skip

    shown = sorted(offers, key=lambda offer: offer.cost.total_usd if offer.cost else float("inf"))
    print_table(_COLUMNS, [row(offer) for offer in shown])
