"""`sweep show`: how a sweep stands, and its results, best first."""

import sys
from pathlib import Path

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, plural, print_json, print_table, say
from scripts.cli.queue_connection import connect
from scripts.sweep_results import Member, best_first, choose_metric, lower_is_better, members_of, plot as draw

_MOST_MEMBERS = 10_000
_METRIC_COLUMNS = 6


def show_sweep(name: str, metric: str | None, *, plot: Path | None, output: OutputFormat) -> int:
    """Show a sweep: members in each state, results ordered by `metric`, and a picture of them in `plot`."""
    with connect() as client:
        found = client.sweep(name)
        jobs = client.find(sweep=name, limit=_MOST_MEMBERS)["jobs"]
    members = members_of(sorted(jobs, key=lambda job: int(job["uid"])))
    try:
        chosen = choose_metric(members, metric)
    except KeyError as error:
        raise CommandError(f"--metric {metric}: no member reports it; there are: {', '.join(error.args[0])}") from None
    ordered = best_first(members, chosen)
    if output is OutputFormat.JSON:
        by_id = {job["id"]: job for job in jobs}
        print_json({**found, "metric": chosen, "results": [by_id[member.id] for member in ordered]})
    else:
        counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items())
        say(f"sweep {found['id']} {found['name']}: {plural(found['members'], 'member')}: {counts}")
        _print_results(ordered, chosen)
    if plot is not None:
        _draw(members, chosen, plot)
    return ExitCode.OK


def _print_results(members: list[Member], metric: str | None) -> None:
    shown = [member for member in members if member.metrics or member.state != "queued"]
    if not shown:
        say("no member has started yet")
        return
    if metric is not None:
        say(f"best first by {metric}, {'less' if lower_is_better(metric) else 'more'} is better (--metric NAME)")
    names = sorted({name for member in shown for name in member.metrics} - {metric})
    columns = ([metric] if metric is not None else []) + names[: _METRIC_COLUMNS - 1]
    print_table(("member", "overrides", "state", "step", *columns), [_row(member, columns) for member in shown])
    if len(names) >= _METRIC_COLUMNS:
        say(f"{len(names) + 1 - _METRIC_COLUMNS} more metrics: -o json")


def _row(member: Member, columns: list[str]) -> list[object]:
    overrides = " ".join(f"{key}={value}" for key, value in member.choices.items())
    return [member.id, overrides, member.state, member.step, *(member.metrics.get(column) for column in columns)]


def _draw(members: list[Member], metric: str | None, path: Path) -> None:
    if metric is None:
        raise CommandError(f"--plot {path}: no member has a metric yet")
    try:
        draw(members, metric, path)
    except ImportError as error:
        raise CommandError(f"--plot {path}: needs matplotlib: pip install 'ostinato[plot]'") from error
    sys.stderr.write(f"{metric} is drawn in {path}\n")
