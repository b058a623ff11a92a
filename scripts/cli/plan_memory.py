"""`plan memory`: what one rank holds, whether it fits, and the nearest layout that does."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.exit_codes import ExitCode, PlanExitCode
from scripts.cli.output import (
    JsonOption,
    OutputFormat,
    OutputOption,
    format_bytes,
    print_facts,
    print_json,
    print_table,
)
from scripts.cli.plan_options import System, SystemOptions, picture_in, show_pictures, with_system_options

if TYPE_CHECKING:
    from planner.memory_verdict import Nearest, Verdict


@with_system_options
def memory(
    options: SystemOptions,
    *,
    plot: Annotated[Path | None, typer.Option(help="folder for a picture of the parts")] = None,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Estimate the memory of the most loaded rank. Exit code 4 when it does not fit."""
    from planner.memory_verdict import nearest_fit

    system = System(options)
    found = system.verdict()
    nearest = None
    if not found.fits:
        nearest = nearest_fit(system.memory_profile, system.layout, system.limits, system.instance.accelerator)
    pictures: list[Path] = []
    if plot is not None:
        from planner.system_plots import memory_waterfall

        title = f"{system.model.name}: {system.layout.described()}"
        pictures.append(memory_waterfall(found, picture_in(plot, "memory"), title=title))
    if as_json or output is OutputFormat.JSON:
        print_json({**_to_json(system, found, nearest), "pictures": [str(path) for path in pictures]})
    else:
        _print(system, found, nearest)
    show_pictures(pictures, as_json=as_json or output is OutputFormat.JSON)
    return ExitCode.OK if found.fits else PlanExitCode.DOES_NOT_FIT


def _to_json(system: System, found: "Verdict", nearest: "Nearest | None") -> dict[str, Any]:
    return {
        "model": system.model.name,
        "hardware": system.instance.name,
        "layout": found.layout.described(),
        "fits": found.fits,
        "total_bytes": math.ceil(found.estimate.total_bytes),
        "capacity_bytes": found.capacity_bytes,
        "left_bytes": found.capacity_bytes - math.ceil(found.estimate.total_bytes),
        "parts_bytes": {name: math.ceil(value) for name, value in found.estimate.parts},
        "host_bytes": math.ceil(found.estimate.host_bytes),
        "moment": found.estimate.moment,
        "stage": found.estimate.stage,
        "nearest": None
        if nearest is None
        else {
            "changes": list(nearest.changes),
            "layout": nearest.verdict.layout.described(),
            "total_bytes": math.ceil(nearest.verdict.estimate.total_bytes),
        },
    }


def _print(system: System, found: "Verdict", nearest: "Nearest | None") -> None:
    estimate = found.estimate
    verdict = "fits" if found.fits else "does not fit"
    amount = f"{format_bytes(abs(found.left_bytes))} {'left' if found.fits else 'too much'}"
    facts = {
        **system.facts(),
        "highest": f"at the {estimate.moment}" + (f", on stage {estimate.stage}" if system.layout.pp > 1 else ""),
        "memory": f"{format_bytes(estimate.total_bytes)} of {format_bytes(found.capacity_bytes)}: {verdict}, {amount}",
    }
    if estimate.host_bytes:
        facts["host"] = f"{format_bytes(estimate.host_bytes)} for each rank"
    if nearest is not None:
        near = nearest.verdict
        size = format_bytes(near.estimate.total_bytes)
        facts["nearest that fits"] = f"{' and '.join(nearest.changes)}: {size} ({near.layout.described()})"
    elif not found.fits:
        facts["nearest that fits"] = "none within four changes on as many accelerators"
    print_facts(facts)
    rows = [(name, format_bytes(value), f"{100 * value / estimate.total_bytes:.1f}") for name, value in estimate.parts]
    print_table(("part", "size", "%"), rows)
