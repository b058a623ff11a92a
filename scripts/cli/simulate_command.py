"""`simulate`: a recorded trace under the queue's own scheduler, and under the policies to compare with."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, print_facts, print_json, print_table
from scripts.cli.simulate_beside import draw_beside, print_beside

if TYPE_CHECKING:
    from batch.simulator import Cluster, Outcome, PolicyName, Report, Trace

_Choice = TypeVar("_Choice", bound=StrEnum)

_FORMATS = "philly, gavel, tiresias or ostinato"
_POLICIES = "default (the queue's own), fifo, easy, fair, las or srtf_oracle; several with commas between them"
_GROUP_COLUMNS = ("jobs", "mean h", "p50 h", "p99 h", "first wait h", "delay h")


def simulate(  # noqa: PLR0913 - the options of one command line
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="file of a recorded trace")],
    *,
    trace_format: Annotated[str, typer.Option("--format", help=_FORMATS)],
    policy: Annotated[str, typer.Option(help=_POLICIES)] = "default",
    gpus: Annotated[int | None, typer.Option(min=1, help="accelerators; left out: as many as the work needs")] = None,
    nodes: Annotated[str | None, typer.Option(help="nodes x accelerators on each, such as 65x8")] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="first day, UTC")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0.01, help="days from --from")] = None,
    checkpoint_every_s: Annotated[
        float, typer.Option("--checkpoint-every", min=0.0, help="seconds between checkpoints; 0: nothing is ever lost")
    ] = 600.0,
    restart_s: Annotated[float, typer.Option("--restart", min=0.0, help="seconds that a restart takes")] = 30.0,
    throughputs: Annotated[Path | None, typer.Option(help="Gavel's table of steps per second, for gavel")] = None,
    plot: Annotated[Path | None, typer.Option(help="folder for pictures of queue, shares and utilisation")] = None,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Simulate a queue on a recorded trace: completion times, fairness, utilisation, what preemption cost."""
    from batch.errors import BadRequestError
    from batch.simulator import Physics, TraceFormat, read_trace, report_of, simulate as run

    try:
        jobs = read_trace(trace, _one_of(TraceFormat, "--format", trace_format), throughputs=throughputs)
        jobs = _window(jobs, first, days)
        physics = Physics(checkpoint_every_s=checkpoint_every_s, restart_s=restart_s)
        cluster, policies = _cluster(jobs, gpus, nodes), _policies(policy)
        outcomes = [run(jobs, cluster, each, physics=physics) for each in policies]
    except BadRequestError as error:
        raise CommandError(str(error)) from error
    reports = [report_of(outcome) for outcome in outcomes]
    is_quiet = as_json or output is OutputFormat.JSON
    if is_quiet:
        values = [report.to_json() for report in reports]
        print_json(values if len(values) > 1 else values[0])
    elif len(reports) > 1:
        print_beside(reports)
    else:
        _print(reports[0])
    if plot is not None:
        _draw(outcomes, reports, plot, quiet=is_quiet)
    return ExitCode.OK


def _policies(text: str) -> list["PolicyName"]:
    from batch.simulator import PolicyName

    names = [_one_of(PolicyName, "--policy", name.strip()) for name in text.split(",")]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise CommandError(f"--policy {text}: {twice[0]} stands there twice")
    return names


def _one_of(kinds: type[_Choice], option: str, text: str) -> _Choice:
    try:
        return kinds(text)
    except ValueError:
        raise CommandError(f"{option} {text}: must be one of {', '.join(kinds)}") from None


def _window(trace: "Trace", first: datetime | None, days: float | None) -> "Trace":
    if first is None and days is None:
        return trace
    if first is None or days is None:
        raise CommandError("--from and --days: give both, or neither for the whole trace")
    return trace.window(first, days)


def _cluster(trace: "Trace", gpus: int | None, nodes: str | None) -> "Cluster":
    from batch.simulator import Cluster

    if nodes is None:
        return Cluster.counted(gpus or trace.chips_for_load(1.0))
    cluster = Cluster.of(nodes)
    if gpus not in {None, cluster.chips}:
        raise CommandError(f"--gpus {gpus} and --nodes {nodes} ({cluster.chips}): must agree; leave one of them out")
    return cluster


def _print(report: "Report") -> None:
    overall = report.overall
    print_facts(
        {
            "policy": report.policy,
            "trace": f"{report.jobs} jobs of {report.teams} teams in {report.window_days:g} days",
            "machines": f"{report.chips} accelerators",
            "completion": f"{overall.mean_completion_h:.3f} h mean, {overall.p50_completion_h:.3f} h p50, "
            f"{overall.p99_completion_h:.2f} h p99",
            "utilisation": f"{report.utilisation:.3f} of what any schedule could reach",
            "unfairness": _unfairness(report),
            "preemptions": f"{report.preemptions}, {report.lost_chip_h:.0f} accelerator-hours lost "
            f"({report.restart_chip_h:.0f} restarting, {report.unsaved_chip_h:.0f} done again)",
            "drained": f"after {report.drained_after_days:.1f} days",
            "simulated in": f"{report.wall_s:.1f} s",
        }
    )
    gangs = tuple(group for group in (report.gangs_8, report.gangs_16) if group is not None)
    # The gangs have a table of their own: they are among the jobs of the first.
    for title, groups in (("accelerators", report.by_size), ("of which", gangs), ("team", report.by_team)):
        if not groups:
            continue
        rows = [
            (
                group.name, group.jobs, group.mean_completion_h, group.p50_completion_h, group.p99_completion_h,
                group.mean_wait_h, group.mean_delay_h,
            )
            for group in groups
        ]  # fmt: skip
        print_table((title, *_GROUP_COLUMNS), rows)


def _unfairness(report: "Report") -> str:
    if report.unfairness_hourly is None:
        return "no hour was contended"
    daily = "" if report.unfairness_daily is None else f", {report.unfairness_daily:.3f} per day"
    return f"{report.unfairness_hourly:.3f} per hour{daily} ({report.contended_hours} contended hours)"


def _draw(outcomes: Sequence["Outcome"], reports: Sequence["Report"], folder: Path, *, quiet: bool) -> None:
    from batch.simulator import draw

    try:
        files = [path for outcome in outcomes for path in draw(outcome, folder)]
        if len(reports) > 1:
            files.append(draw_beside(reports, folder))
    except ImportError as error:
        raise CommandError(f"--plot needs matplotlib: pip install 'ostinato[plot]' ({error})") from error
    if not quiet:
        print_facts({f"picture {number}": str(path) for number, path in enumerate(files, start=1)})
