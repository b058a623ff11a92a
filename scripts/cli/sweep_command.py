"""`sweep`: many jobs that differ by overrides, one compact record; and `sweep show`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, format_duration, plural, print_json, print_table, say
from scripts.cli.queue_connection import connect, connect_or_start
from scripts.cli.submit_command import Asked, common, shape_of, split_queue_keys, train_job

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_MAX_MEMBERS = 1_000_000
_SHOWN = 10
_COMPOSED = 16


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
    metric: Annotated[str | None, typer.Option(help="of `sweep show`: what to sort by")] = None,
    largest: Annotated[bool, typer.Option("--largest", help="of `sweep show`: the largest first")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list members and cost; submit nothing")] = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Submit a sweep in Hydra's grammar, or show one with its results. Submitting the same again makes nothing new."""
    if words[0] == "show":
        if len(words) != 2:
            raise CommandError("write `ostinato sweep show SWEEP`")
        return _show(words[1], metric, largest=largest, output=output)
    given = {"team": team, "tier": tier, "name": name, "gpus": gpus, "time": time}
    overrides, asked = split_queue_keys(words, {option: text for option, text in given.items() if text is not None})
    spec = sweep_json(overrides, asked)
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


def sweep_json(overrides: list[str], asked: Asked) -> dict[str, Any]:
    """Return the sweep: axes of what has several values, and the run of the rest, composed with the first of each."""
    fixed, axes = _split(overrides)
    if not axes:
        raise CommandError("no override has several values: write optim.lr=1e-3,3e-4 or 'run.seed=range(0,8)'")
    # So that a mistake in the last value shows now and not in a week; ranges of thousands differ in a number only.
    for key, values in axes:
        firsts = [f"{other}={choices[0]}" for other, choices in axes if other != key]
        for value in {*values[1:_COMPOSED], values[-1]}:
            train_job([*fixed, *firsts, f"{key}={value}"])
    template = train_job([*fixed, *(f"{key}={values[0]}" for key, values in axes)])
    if any("." not in key for key, _ in axes):
        # A group as an axis changes what the document is made of, so members are composed from overrides.
        template["payload"] = {"base": fixed}
    template |= common(asked)
    template["shape"] = {**template["shape"], **shape_of(asked, None)}
    return {"template": template, "axes": [[key, list(values)] for key, values in axes]}


def _split(overrides: list[str]) -> tuple[list[str], list[tuple[str, tuple[str, ...]]]]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    fixed, axes = [], []
    for text, one in zip(overrides, OverridesParser.create().parse_overrides(overrides), strict=True):
        if one.is_sweep_override():
            axes.append((one.get_key_element(), tuple(_values(one))))
        else:
            fixed.append(text)
    return fixed, axes


def _values(override: "Override") -> list[str]:
    if not override.is_discrete_sweep():
        raise CommandError(f"{override.input_line}: interval() has no values of its own; use range() or choice()")
    values = [str(value) for value in override.sweep_string_iterator()]
    if not values or len(values) > _MAX_MEMBERS:
        raise CommandError(f"{override.input_line}: has {len(values)} values; from 1 to {_MAX_MEMBERS} are allowed")
    return values


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

    template = spec["template"]
    axes = tuple((key, tuple(values)) for key, values in spec["axes"])
    sweep = SweepSpec(template=JobSpec(kind="train", payload={}), axes=axes)
    limit_s = template.get("time_limit_s")
    shape = template["shape"]
    chips = shape.get("nodes", 1) * (shape.get("gpus") or shape.get("cpus", 1))
    unit = "accelerator-hours" if shape.get("gpus") else "CPU-hours"
    most = None if limit_s is None else len(sweep) * chips * limit_s / 3600.0
    if output is OutputFormat.JSON:
        members = [list(sweep.overrides(index)) for index in range(len(sweep))]
        print_json({"members": members, "chips_each": chips, "most_hours": most, "unit": unit})
        return ExitCode.OK
    for index in range(min(len(sweep), _SHOWN)):
        say(" ".join(sweep.overrides(index)))
    if len(sweep) > _SHOWN:
        say(f"... and {len(sweep) - _SHOWN} more")
    cost = f"at most {most:,.1f} {unit}" if most is not None else f"--time 6h would bound it in {unit}"
    each = plural(chips, "accelerator" if shape.get("gpus") else "CPU")
    say(f"{plural(len(sweep), 'member')} of {each}; {cost}")
    return ExitCode.OK


def _show(name: str, metric: str | None, *, largest: bool, output: OutputFormat) -> int:
    with connect() as client:
        found = client.sweep(name)
        members = client.find(sweep=name, limit=10_000)["jobs"]
    metrics = sorted({key for member in members for key in member["metrics"]})
    chosen = metric or (metrics[0] if metrics else None)
    if metric is not None and metric not in metrics:
        raise CommandError(f"--metric {metric}: no member reports it; there are: {', '.join(metrics) or 'none yet'}")
    members.sort(key=lambda member: _rank(member, chosen, largest))
    if output is OutputFormat.JSON:
        print_json({**found, "results": members})
        return ExitCode.OK
    counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items())
    say(f"sweep {found['id']} {found['name']}: {plural(found['members'], 'member')}: {counts}")
    rows = [_result(member, metrics) for member in members if member["metrics"] or member["state"] != "queued"]
    if rows:
        print_table(("member", "overrides", "state", "for", *metrics), rows)
    else:
        sys.stderr.write("no member has started yet\n")
    return ExitCode.OK


def _rank(member: dict[str, Any], metric: str | None, largest: bool) -> tuple[bool, float, int]:
    value = member["metrics"].get(metric)
    return value is None, 0.0 if value is None else (-value if largest else value), member["uid"]


def _result(member: dict[str, Any], metrics: list[str]) -> list[object]:
    lasted_s = (member["ended_s"] or member["changed_s"]) - (member["started_s"] or member["changed_s"])
    values = [member["metrics"].get(key) for key in metrics]
    return [member["id"], " ".join(member["overrides"]), member["state"], format_duration(max(0.0, lasted_s)), *values]
