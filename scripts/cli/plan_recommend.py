"""`plan recommend`: the best loss for a budget, and all that it takes: model, machines, layout, batch, steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import (
    JsonOption,
    OutputFormat,
    OutputOption,
    format_bytes,
    format_duration,
    print_facts,
    print_json,
    print_table,
    say,
)  # fmt: skip
from scripts.cli.plan_columns import ColumnOption, columns_of
from scripts.cli.plan_options import today

if TYPE_CHECKING:
    from planner.hardware import Catalogue, Instance
    from planner.recommendation.conditions import Conditions, Limits
    from planner.recommendation.loss_models import LossModel
    from planner.recommendation.plans import Plan
    from planner.recommendation.recommend import Recommendation

_ARCH = "llama, lm (our recipes), or the name of one known model"
_SHOWN = 15
_COLUMNS = ("model", "machines", "tokens", "loss", "from", "to", "$", "device-hours", "days", "MFU %", "ended by")


def recommend(  # noqa: PLR0913 - the options of one command line
    *,
    usd: Annotated[str | None, typer.Option(help="dollars for training and inference: 1e6")] = None,
    hours: Annotated[float | None, typer.Option(help="accelerator-hours for both, instead of dollars")] = None,
    deadline: Annotated[str | None, typer.Option(help="for training: 30d")] = None,
    hw: Annotated[str, typer.Option(help="instances or accelerators with commas between, or any")] = "any",
    gpus: Annotated[int, typer.Option(min=1, help="the most accelerators at once")] = 1024,
    arch: Annotated[str, typer.Option(help=_ARCH)] = "llama",
    runs: Annotated[Path | None, typer.Option(help="your runs: CSV or Parquet with params, tokens, loss")] = None,
    law: Annotated[str, typer.Option(help="a published law, where there are no runs of your own")] = "chinchilla",
    column: ColumnOption = None,
    seq: Annotated[int, typer.Option(min=1, help="tokens of a text")] = 4096,
    infer_tokens: Annotated[str | None, typer.Option(help="that the model reads and writes over its life: 2T")] = None,
    infer_mfu: Annotated[float, typer.Option(help="of the peak, in inference: an assumption")] = 0.2,
    checkpoint_s: Annotated[float | None, typer.Option(min=0, help="that a save keeps training waiting, measured")] = (
        None
    ),
    restart_s: Annotated[float, typer.Option(min=0, help="from an interruption until training goes on")] = 60.0,
    failures: Annotated[float | None, typer.Option(min=0, help="of one accelerator in an hour")] = None,
    reclaims: Annotated[float, typer.Option(min=0, help="of one spot instance in an hour: an assumption")] = 0.05,
    machines: Annotated[Path | None, typer.Option(help="your own machines and prices: YAML or CSV")] = None,
    calibration: Annotated[Path | None, typer.Option(help="constants of time fitted to your own runs: CSV")] = None,
    force: Annotated[bool, typer.Option("--force", help="answer although the evidence does not carry it")] = False,
    plot: Annotated[Path | None, typer.Option(help="folder for pictures")] = None,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Find the best loss for a budget by a deadline on what is to be had; the Pareto front with it.

    Exit code 3 where the evidence does not carry the answer, 4 where nothing can be trained.
    """
    from planner.hardware import load_catalogue
    from planner.quantities import read_count, read_duration_s, read_usd
    from planner.recommendation.conditions import FAILURES_PER_DEVICE_HOUR, Conditions, Limits
    from planner.time_calibration import read_calibrations

    limits = Limits(
        usd=None if usd is None else read_usd(usd, "--usd"),
        device_hours=hours,
        deadline_s=None if deadline is None else read_duration_s(deadline, "--deadline"),
        devices=gpus,
    )
    conditions = Conditions(
        text_tokens=seq,
        infer_tokens=0.0 if infer_tokens is None else float(read_count(infer_tokens, "--infer-tokens")),
        infer_mfu=infer_mfu,
        checkpoint_s=checkpoint_s,
        restart_s=restart_s,
        failures_per_device_hour=FAILURES_PER_DEVICE_HOUR if failures is None else failures,
        reclaims_per_instance_hour=reclaims,
        calibrations=() if calibration is None else read_calibrations(calibration),
    )
    catalogue = load_catalogue(machines)
    losses = losses_of(runs, law, columns_of(column))
    found = recommended(catalogue, instances_named(catalogue, hw), arch, (limits, conditions), losses, force=force)
    _show(found, [] if plot is None else _draw(found, plot), as_json=as_json or output is OutputFormat.JSON)
    return ExitCode.OK


def _show(found: "Recommendation", files: "Sequence[Path]", *, as_json: bool) -> None:
    if as_json:
        print_json({**found.to_json(), "pictures": [str(path) for path in files]})
        return
    _print(found)
    for path in files:
        say(f"picture: {path}")


def losses_of(runs: Path | None, law: str, columns: dict[str, str]) -> "LossModel":
    """Return losses by the user's runs, or by a published law where there are none. Raises as reading them does."""
    from planner.laws import read_runs
    from planner.recommendation.loss_models import OwnRuns, published_law

    return published_law(law) if runs is None else OwnRuns(read_runs(runs, columns))


def instances_named(catalogue: "Catalogue", hw: str) -> "list[Instance]":
    """Return the kinds of machines that words name, or all but plain CPUs. Raises UnknownNameError."""
    if hw == "any":
        return [one for one in catalogue.instances.values() if one.accelerator.platform != "cpu"]
    named = [catalogue.instance(name) for name in hw.split(",") if name.strip()]
    return list({instance.name: instance for instance in named}.values())


def recommended(
    catalogue: "Catalogue",
    instances: "Sequence[Instance]",
    arch: str,
    asked: "tuple[Limits, Conditions]",
    losses: "LossModel",
    *,
    force: bool,
) -> "Recommendation":
    """Return what `planner.recommendation` recommends on these kinds of machines. Raises as it does."""
    from planner.recommendation.ladders import ladder
    from planner.recommendation.recommend import machines_to_be_had, recommend

    limits, conditions = asked
    to_be_had, notes = machines_to_be_had(catalogue, instances, limits)
    return recommend(ladder(arch), to_be_had, limits, losses, conditions, force=force, notes=notes)


def _print(found: "Recommendation") -> None:
    from planner.quantities import show_count

    plan = found.choice
    layout, step = plan.candidate.verdict.layout, plan.candidate.step
    low, high = plan.loss_range
    quick_s, slow_s = step.interval_s()
    tokens = f"{show_count(plan.tokens)} ({show_count(plan.tokens_range[0])} to {show_count(plan.tokens_range[1])})"
    body = show_count(plan.rung.body_params)
    facts = {
        "answer": found.why,
        "loss": f"{plan.loss:.4f} ({low:.4f} to {high:.4f}, 90 %)" + (" FORCED beyond the evidence" * found.is_forced),
        "law": found.source,
        "model": f"{plan.rung.model.name}, {show_count(plan.rung.params)} parameters with embeddings",
        "tokens": f"{tokens}, {plan.tokens / plan.rung.params:.3g} per parameter; {plan.flops:.3g} FLOPs",
        "machines": _machines(plan),
        "layout": f"{layout.described()} ({plan.search.looked_at} computed, {plan.search.fitting} fit)",
        "binding": plan.search.binding,
        "memory": f"{format_bytes(plan.candidate.verdict.estimate.total_bytes)} of "
        f"{format_bytes(plan.candidate.verdict.capacity_bytes)} on the fullest",
        "batch": f"{layout.samples_per_step} texts; Step Law (arXiv:2503.04715) asks for "
        f"{show_count(plan.batch_wanted_tokens)} tokens",
        "learning rate": f"{plan.learning_rate:.3g}, Step Law of {body} without embeddings",
        "steps": f"{plan.steps} of {step.total_s:.4g} s ({quick_s:.4g} to {slow_s:.4g}), MFU {step.mfu:.1%}",
        "time": f"{format_duration(plan.wall_s)}, {format_duration(plan.productive_s)} productive; {step.provenance}",
        "checkpoints": _checkpoints(plan),
        "spent": _spent(plan),
    }
    print_facts(facts)
    say("")
    say("plans that none other beats in loss, spending and days")
    print_table(_COLUMNS, [_row(one) for one in found.front[:_SHOWN]])
    if len(found.front) > _SHOWN:
        say(f"and {len(found.front) - _SHOWN} of more loss: --json has all")
    say(f"{found.looked_at} of {found.of} pairs of model and machines planned; no bound of the others is better")
    for note in found.notes:
        say(f"note: {note}")


def _machines(plan: "Plan") -> str:
    machines = plan.machines
    number = f"{machines.devices} x {machines.instance.accelerator.title} ({machines.instance.name})"
    return f"{number}; " + ("no price is known" if machines.price is None else machines.price.described(today()))


def _checkpoints(plan: "Plan") -> str:
    if plan.checkpoint_every_s is None:
        return "no interruptions are expected"
    return f"every {format_duration(plan.checkpoint_every_s)} (Young/Daly), {plan.checkpoint_s:.3g} s each"


def _spent(plan: "Plan") -> str:
    inference = f", of which {plan.infer_hours:,.0f} for inference" if plan.infer_hours else ""
    dollars = "" if plan.usd is None else f"${plan.usd:,.0f}: "
    return f"{dollars}{plan.device_hours:,.0f} device-hours{inference}; ended by {plan.ended_by}"


def _row(plan: "Plan") -> tuple[object, ...]:
    from planner.quantities import show_count

    return (
        plan.rung.model.name, f"{plan.machines.devices} {plan.machines.instance.name} {plan.machines.terms}",
        show_count(plan.tokens), f"{plan.loss:.4f}", f"{plan.loss_range[0]:.4f}", f"{plan.loss_range[1]:.4f}",
        None if plan.usd is None else f"{plan.usd:,.0f}", f"{plan.device_hours:,.0f}", f"{plan.days:.3g}",
        f"{100 * plan.candidate.step.mfu:.1f}", plan.ended_by,
    )  # fmt: skip


def _draw(found: "Recommendation", folder: Path) -> list[Path]:
    try:
        from planner.recommendation.pictures import draw_recommendation

        return draw_recommendation(found, folder)
    except ImportError as error:
        raise CommandError(f"--plot needs matplotlib: pip install 'ostinato[plot]' ({error})") from error
