"""`plan next`: the runs of a study that most narrow what one wants to know, for what one will spend."""

from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, say
from scripts.cli.plan_study_option import StudyOption
from scripts.cli.plan_sweep import checked_overrides, show_and_submit

if TYPE_CHECKING:
    from planner.forecasts.next_design import NextRuns
    from planner.loop.next_rungs import Unit

_FAR = 10.0
_SECONDS_PER_HOUR = 3600.0


def next_(  # noqa: PLR0913 - the options of one command line
    words: Annotated[
        list[str], typer.Argument(metavar="recipe=lm_ladder [OVERRIDES...]", help="the recipe, and what all runs share")
    ],
    *,
    spend: Annotated[str, typer.Option(metavar="AMOUNT", help="such as 1e13flops, 2h (of runs in turn) or 5usd")],
    target: Annotated[
        float | None, typer.Option(metavar="FLOPS", help="where loss and size are wanted; else 10 x the largest run")
    ] = None,
    most: Annotated[
        float | None, typer.Option(metavar="FLOPS", help="largest single run; else a tenth of the target")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="at most so many")] = 8,
    hourly_usd: Annotated[float | None, typer.Option(min=0.0, help="price of an hour of one run")] = None,
    study: StudyOption = "default",
    submit: Annotated[bool, typer.Option("--submit", help="write the forecasts, then send the runs")] = False,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Propose the next runs by what they are expected to tell of the target for their cost."""
    from planner.errors import RefusedError
    from planner.loop.next_rungs import Spend, best_next
    from scripts.planning.foretell import foretell
    from scripts.planning.rungs import new_rungs, steps_of
    from scripts.planning.study_folder import open_study

    amount, unit = _amount(spend)
    opened = open_study(study)
    evidence = opened.evidence()
    if not len(evidence):
        raise RefusedError(f"study {study}: no run is evidence yet; begin with `ostinato plan sweep`")
    wanted = target or _FAR * float(evidence.flops.max())
    paid = Spend(amount=amount, unit=unit, most_flops=most or wanted / _FAR, most_runs=runs, hourly_usd=hourly_usd)
    chosen = best_next(opened, paid, wanted, steps_of)
    planned = [(run.params, run.flops) for run in chosen.runs]
    rungs = new_rungs(planned, {run.run for run in opened.runs()}, checked_overrides(words))
    is_json = as_json or output is OutputFormat.JSON
    if not is_json:
        _say(chosen, wanted)
    foretold = foretell(opened, rungs, hourly_usd=hourly_usd)
    return show_and_submit(opened, foretold, submit=submit, as_json=is_json)


def _amount(text: str) -> "tuple[float, Unit]":
    from planner.loop.next_rungs import Unit
    from planner.quantities import read_count, read_duration_s, read_usd

    bare = text.strip().lower()
    if bare.endswith(Unit.FLOPS):
        return float(read_count(bare.removesuffix(Unit.FLOPS), "--spend")), Unit.FLOPS
    if bare.endswith(Unit.USD) or bare.startswith("$"):
        return read_usd(bare, "--spend"), Unit.USD
    if not bare[-1:].isalpha():
        raise CommandError(f"--spend {text}: write an amount with its unit: 1e13flops, 2h or 5usd")
    return read_duration_s(bare, "--spend") / _SECONDS_PER_HOUR, Unit.HOURS


def _say(chosen: "NextRuns", target_flops: float) -> None:
    loss, params = (f"{100 * a:.2f} % to {100 * b:.2f} %" for a, b in zip(chosen.before, chosen.after, strict=True))
    say(f"standard deviations at {target_flops:.3g} FLOPs by the law: loss {loss}, best size {params}")
