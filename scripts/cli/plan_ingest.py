"""`plan ingest`: what came out of a study's runs goes into its evidence and its ledger, which is then scored."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, plural, print_json, print_table, say
from scripts.cli.plan_study_option import StudyOption

if TYPE_CHECKING:
    from planner.forecasts.scores import Scores

_COLUMNS = ("law", "quantity", "runs", "mean error %", "worst %", "bias %", "inside 50 / 80 / 90 %")


def ingest(
    *,
    from_queue: Annotated[
        str | None, typer.Option(metavar="SWEEP", help="also take in the runs of a sweep that was not planned here")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="also take in runs of a table: params, tokens, loss")
    ] = None,
    study: StudyOption = "default",
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Take in the results of a study, and show how good its forecasts were. Runs that failed are kept and marked."""
    from planner.forecasts.scores import score
    from scripts.planning.foreign_runs import runs_of_sweep, runs_of_table
    from scripts.planning.queue_jobs import collect, has_jobs
    from scripts.planning.study_folder import open_study

    opened = open_study(study)
    going = 0
    taken = 0
    if csv is not None:
        taken += opened.add(runs_of_table(csv))
    if from_queue is not None or has_jobs(opened):
        from scripts.cli.queue_connection import connect

        with connect() as client:
            if from_queue is not None:
                taken += opened.add(runs_of_sweep(client, from_queue))
            collected = collect(client, opened)
        taken, going = taken + collected.over, collected.going
    scores = score(opened.ledger.entries())
    document = {"study": study, "taken_in": taken, "going": going, "runs": len(opened.runs()), **scores.to_json()}
    if as_json or output is OutputFormat.JSON:
        print_json(document)
    else:
        _print(document, scores)
    return ExitCode.OK


def _print(document: dict[str, Any], scores: "Scores") -> None:
    say(
        f"{plural(document['taken_in'], 'run')} taken in, {document['going']} still going; forecast runs: "
        f"{scores.finished} finished, {scores.diverged} diverged, {scores.failed} failed, {scores.pending} pending"
    )
    if scores.late:
        say(f"{plural(scores.late, 'forecast')} written after the run had started: not scored")
    rows = []
    for each in scores.scores:
        coverage = " / ".join(f"{level.share:.2f}" for level in each.coverage)
        errors = (each.mean_absolute_error, each.worst_absolute_error, each.bias)
        rows.append((each.law, each.quantity, each.count, *(f"{100 * error:.2f}" for error in errors), coverage))
    if rows:
        print_table(_COLUMNS, rows)
