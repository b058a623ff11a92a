"""`plan sweep`: an isoFLOP grid of a recipe's models as jobs, each forecast before it is sent."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import (
    JsonOption,
    OutputFormat,
    OutputOption,
    format_bytes,
    format_duration,
    plural,
    print_json,
    say,
)
from scripts.cli.plan_study_option import StudyOption

if TYPE_CHECKING:
    from planner.loop.study import Study
    from scripts.planning.foretell import Chosen, Foretold

_COLUMNS = ("run", "model", "tokens", "FLOPs", "steps", "loss", "80 %", "time", "memory", "usd")


def sweep(  # noqa: PLR0913 - the options of one command line
    words: Annotated[
        list[str], typer.Argument(metavar="recipe=lm_ladder [OVERRIDES...]", help="the recipe, and what all runs share")
    ],
    *,
    budgets: Annotated[str, typer.Option(metavar="FLOPS,...", help="compute of each isoFLOP line, such as 1e11,3e11")],
    points: Annotated[int, typer.Option(min=1, help="models on each line")] = 5,
    models: Annotated[str | None, typer.Option(metavar="NAME,...", help="these, not those near the middle")] = None,
    tokens_per_param: Annotated[float, typer.Option(min=0.01, help="where the middle of each line lies")] = 20.0,
    spread: Annotated[float, typer.Option(min=1.01, help="sizes go from middle / spread to middle · spread")] = 4.0,
    seeds: Annotated[int, typer.Option(min=1, help="runs of each model and budget")] = 1,
    evidence_at_most: Annotated[
        float | None, typer.Option(metavar="FLOPS", help="forecast from runs of at most that compute")
    ] = None,
    evidence_tokens: Annotated[
        float, typer.Option(metavar="TOKENS", min=0.0, help="forecast the loss from runs of at least so many tokens")
    ] = 0.0,
    hourly_usd: Annotated[float | None, typer.Option(min=0.0, help="price of an hour of one run")] = None,
    study: StudyOption = "default",
    submit: Annotated[bool, typer.Option("--submit", help="write the forecasts, then send the runs")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show: the same as without --submit")] = False,
    out: Annotated[Path | None, typer.Option(help="also write runs and forecasts to FILE, as JSON")] = None,
    force: Annotated[bool, typer.Option("--force", help="forecast losses beyond the evidence too")] = False,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Plan isoFLOP runs, forecast each, and with --submit send them to the queue. Sending again makes nothing new."""
    from scripts.planning.foretell import foretell
    from scripts.planning.rungs import grid
    from scripts.planning.study_folder import open_study

    if submit and dry_run:
        raise CommandError("--submit and --dry-run: choose one")
    rungs = grid(
        checked_overrides(words), _numbers("--budgets", budgets), points=points, seeds=seeds,
        models=None if models is None else models.split(","), tokens_per_param=tokens_per_param, spread=spread,
    )  # fmt: skip
    opened = open_study(study)
    chosen = _chosen(evidence_at_most, evidence_tokens)
    foretold = foretell(opened, rungs, chosen, hourly_usd=hourly_usd, force=force)
    return show_and_submit(opened, foretold, submit=submit, out=out, as_json=as_json or output is OutputFormat.JSON)


def _chosen(most_flops: float | None, least_tokens: float) -> "Chosen":
    from scripts.planning.foretell import Chosen

    for option, value in (("--evidence-at-most", most_flops), ("--evidence-tokens", least_tokens)):
        if value is not None and not 0.0 <= value < float("inf"):
            raise CommandError(f"{option} {value}: must be a number of at least 0")
    return Chosen(float("inf") if most_flops is None else most_flops, least_tokens)


def show_and_submit(
    study: "Study", foretold: "Sequence[Foretold]", *, submit: bool, out: Path | None = None, as_json: bool = False
) -> int:
    """Show runs with their forecasts; with `submit` send them first, and show their jobs too."""
    jobs: dict[str, str] = {}
    if out is not None:
        _refuse_unwritable(out)  # before anything is sent
    if submit:
        from scripts.cli.planned_job import planned_job
        from scripts.cli.queue_connection import connect_or_start
        from scripts.planning.queue_jobs import submit as send

        with connect_or_start() as client:
            jobs = send(client, study, foretold, planned_job)
    document = {
        "study": study.folder.name, "ledger": str(study.ledger.head), "submitted": submit,
        "runs": [_json(one, jobs) for one in foretold],
    }  # fmt: skip
    if out is not None:
        import json

        out.write_text(json.dumps(document, indent=2) + "\n")
    if as_json:
        print_json(document)
    else:
        _print(foretold, jobs, study)
    return ExitCode.OK


def _refuse_unwritable(out: Path) -> None:
    try:
        out.open("a").close()
    except OSError as error:
        raise CommandError(f"--out {out}: cannot be written: {error.strerror}") from error


def checked_overrides(words: Sequence[str]) -> list[str]:
    """Return the overrides without the recipe. Raises CommandError for another recipe or a model."""
    from scripts.planning.rungs import RECIPE

    recipes = [word for word in words if word.startswith("recipe=")]
    if recipes != [f"recipe={RECIPE}"]:
        raise CommandError(f"{' '.join(recipes) or 'no recipe'}: write recipe={RECIPE}, the recipe with models by size")
    if any(word.startswith("model=") for word in words):
        raise CommandError("model=...: models are chosen by size; name some with `plan sweep --models`")
    return [word for word in words if not word.startswith("recipe=")]


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise CommandError(f"{option} {text}: write numbers with commas, such as 1e11,3e11") from None


def _json(one: "Foretold", jobs: dict[str, str]) -> dict[str, Any]:
    run = one.rung.run
    return {
        "run": run.run, "model": one.rung.model, "params": run.params, "tokens": run.tokens, "flops": run.flops,
        "steps": run.steps, "seed": run.seed, "group": run.group, "overrides": list(one.rung.overrides),
        "forecast": {name: predicted.to_json() for name, predicted in one.forecast.quantities.items()},
        "no_loss": one.no_loss, "job": jobs.get(run.run),
    }  # fmt: skip


def _print(foretold: "Sequence[Foretold]", jobs: dict[str, str], study: "Study") -> None:
    from scripts.cli.output import print_table

    print_table(_COLUMNS, [_row(one) for one in foretold])
    reasons = dict.fromkeys(one.no_loss for one in foretold if one.no_loss is not None)
    for reason in reasons:
        say(f"no loss forecast: {reason}")
    if jobs:
        say(f"{plural(len(jobs), 'run')} in the queue; the ledger {study.ledger.path} stands at {study.ledger.head}")
    else:
        say("nothing was written or sent; --submit does")


def _row(one: "Foretold") -> tuple[object, ...]:
    run, quantities = one.rung.run, one.forecast.quantities
    loss = quantities.get("loss")
    interval = "" if loss is None else next(f"{low:.3f}-{high:.3f}" for at, low, high in loss.intervals if at == 0.8)
    time_s, memory_bytes, usd = (one.value(name) for name in ("time_s", "memory_bytes", "cost_usd"))
    return (
        run.run, one.rung.model, f"{run.tokens:.3g}", f"{run.flops:.3g}", run.steps,
        None if loss is None else loss.value, interval or None, None if time_s is None else format_duration(time_s),
        None if memory_bytes is None else format_bytes(memory_bytes), usd,
    )  # fmt: skip
