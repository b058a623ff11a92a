"""`sweep`: many jobs that differ by overrides, one compact record; and `sweep show`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, plural, print_json, say
from scripts.cli.queue_connection import connect_or_start
from scripts.cli.submit_command import common, job_of, shape_of, split_queue_keys

if TYPE_CHECKING:
    from batch.model import SweepSpec

_SHOWN = 10


def sweep(  # noqa: PLR0913 - the options of one command line
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="OVERRIDES... | show SWEEP",
            help="as for `train`; several values (optim.lr=1e-3,3e-4), choice(...) and range(...) make the sweep",
        ),
    ],
    *,
    max_running: Annotated[int | None, typer.Option(help="members that run at once")] = None,
    stop_if: Annotated[str | None, typer.Option(metavar="FAIL>20%", help="start no more when so many failed")] = None,
    team: Annotated[str | None, typer.Option(help="whose share it counts for")] = None,
    tier: Annotated[str | None, typer.Option(help="interactive, standard or flex")] = None,
    name: Annotated[str | None, typer.Option(help="a name to find it by")] = None,
    gpus: Annotated[str | None, typer.Option(help="accelerators in each node of a member")] = None,
    time: Annotated[str | None, typer.Option(help="longest an attempt may run, such as 6h")] = None,
    metric: Annotated[str | None, typer.Option(help="of `sweep show`: what to sort by, best first")] = None,
    plot: Annotated[Path | None, typer.Option(help="of `sweep show`: draw the metric over the axes into FILE")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list members and cost; submit nothing")] = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Submit a sweep in Hydra's grammar, or show one with its results. Submitting the same again makes nothing new."""
    if words[0] == "show":
        from scripts.cli.sweep_show import show_sweep

        if len(words) != 2:
            raise CommandError("write `ostinato sweep show SWEEP`")
        return show_sweep(words[1], metric, plot=plot, output=output)
    given = {"team": team, "tier": tier, "name": name, "gpus": gpus, "time": time}
    overrides, asked = split_queue_keys(words, {option: text for option, text in given.items() if text is not None})
    spec = sweep_json(overrides)
    spec["template"] |= common(asked)
    spec["template"]["shape"] |= shape_of(asked, None)
    spec |= {"max_running": max_running, "stop_if_failed": _fraction(stop_if)}
    if dry_run:
        return _dry_run(spec, output)
    with connect_or_start() as client:
        made = client.submit_sweep(spec)
    if output is OutputFormat.JSON:
        print_json(made)
    else:
        say(f"sweep {made['id']} of {plural(made['members'], 'member')}; `ostinato sweep show {made['id']}` shows it")
    return ExitCode.OK


def sweep_json(overrides: list[str]) -> dict[str, Any]:
    """Return the sweep: axes of what has several values, and the run of the rest, composed with the first of each."""
    from configs.sweep import compose_sweep

    composed = compose_sweep(overrides)
    template = job_of(composed.base, overrides)
    if any("." not in key for key, _ in composed.axes):
        # A group as an axis changes what the document is made of, so members are composed from overrides.
        template["payload"] = {"base": list(composed.shared)}
    return {"template": template, "axes": [[key, list(values)] for key, values in composed.axes]}


def _fraction(text: str | None) -> float | None:
    if text is None:
        return None
    figure = text.lower().replace(" ", "").removeprefix("fail>")
    try:
        fraction = float(figure.removesuffix("%")) / (100.0 if figure.endswith("%") else 1.0)
    except ValueError:
        fraction = -1.0
    if not 0.0 <= fraction < 1.0:
        raise CommandError(f"--stop-if {text}: write fail>20%, or a fraction from 0 up to 1")
    return fraction


def _dry_run(spec: dict[str, Any], output: OutputFormat) -> int:
    from batch.model import JobSpec, SweepSpec

    axes = tuple((key, tuple(values)) for key, values in spec["axes"])
    sweep = SweepSpec(template=JobSpec(kind="train", payload={}), axes=axes)
    shape, limit_s = spec["template"]["shape"], spec["template"].get("time_limit_s")
    chips = shape.get("nodes", 1) * (shape.get("gpus") or shape.get("cpus", 1))
    unit = "accelerator" if shape.get("gpus") else "CPU"
    most = None if limit_s is None else len(sweep) * chips * limit_s / 3600.0
    if output is OutputFormat.JSON:
        members = [list(sweep.overrides(index)) for index in range(len(sweep))]
        print_json({"members": members, "chips_each": chips, "most_hours": most, "unit": f"{unit}-hours"})
    else:
        _say_members(sweep, plural(chips, unit), f"{most:,.1f} {unit}-hours" if most is not None else None)
    return ExitCode.OK


def _say_members(sweep: "SweepSpec", each: str, most: str | None) -> None:
    for index in range(min(len(sweep), _SHOWN)):
        say(" ".join(sweep.overrides(index)))
    if len(sweep) > _SHOWN:
        say(f"... and {len(sweep) - _SHOWN} more")
    cost = f"at most {most}" if most is not None else "--time 6h would bound the cost"
    say(f"{plural(len(sweep), 'member')} of {each}; {cost}")
