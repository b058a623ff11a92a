"""The section about a recommendation."""

from pathlib import Path

from planner.quantities import show_count
from planner.recommendation.pictures import draw_recommendation
from planner.recommendation.plans import Plan
from planner.recommendation.recommend import Recommendation
from planner.report.page import Facts, Notes, Picture, Section, Table

_SHOWN = 20
_WORDS = {
    "front": "Plans that none other beats, with the 90 % interval of the loss",
    "price_performance": "What is spent buys this much compute: a point for each plan, the best kind of machines first",
}


def advice_section(found: Recommendation, folder: Path) -> Section:
    """Return what is recommended, and the front. Pictures are drawn in `folder`; ImportError without matplotlib."""
    pictures = [Picture.of(path, _WORDS[path.stem]) for path in draw_recommendation(found, folder, "svg")]
    columns = ("model", "machines", "terms", "tokens", "loss", "from", "to", "$", "device-hours", "days", "MFU %")
    more = f"; {len(found.front) - _SHOWN} of more loss are left out" if len(found.front) > _SHOWN else ""
    table = Table(columns, tuple(map(_row, found.front[:_SHOWN])), f"plans that none other beats{more}")
    lead = f"{found.why[:1].upper()}{found.why[1:]}."
    return Section("Recommendation", lead, (_facts(found), *pictures, table, Notes(found.notes)))


def _facts(found: Recommendation) -> Facts:
    plan = found.choice
    price, layout = plan.machines.price, plan.candidate.verdict.layout
    dated = "no price is known"
    if price is not None:
        dated = f"${price.usd_per_hour:.2f}/h as of {price.as_of} ({price.source})"
    every = "never" if plan.checkpoint_every_s is None else f"every {plan.checkpoint_every_s / 60:.0f} min (Young/Daly)"
    return Facts(
        (
            ("loss", f"{plan.loss:.4f}, {plan.loss_range[0]:.4f} to {plan.loss_range[1]:.4f} (90 %)"
                     + (", FORCED beyond the evidence" if found.is_forced else "")),
            ("law", found.source),
            ("model", f"{plan.rung.model.name}, {show_count(plan.rung.params)} parameters with embeddings"),
            ("tokens", f"{show_count(plan.tokens)}, {plan.flops:.3g} FLOPs as the law counts them"),
            ("machines", f"{plan.machines.devices} accelerators of {plan.machines.instance.name}; {dated}"),
            ("layout", layout.described()),
            ("batch", f"{layout.samples_per_step} texts; learning rate {plan.learning_rate:.3g} (Step Law, "
                      "arXiv:2503.04715)"),
            ("steps", f"{plan.steps:,} of {plan.candidate.step.total_s:.4g} s, {plan.days:.3g} days in all"),
            ("checkpoints", every),
            ("spent", ("" if plan.usd is None else f"${plan.usd:,.0f}, ") + f"{plan.device_hours:,.0f} device-hours, "
                      f"of which {plan.infer_hours:,.0f} for inference"),
        )
    )  # fmt: skip


def _row(plan: Plan) -> tuple[str, ...]:
    return (
        plan.rung.model.name, f"{plan.machines.devices} {plan.machines.instance.name}",
        plan.machines.terms.replace("_", " "), show_count(plan.tokens), f"{plan.loss:.4f}",
        f"{plan.loss_range[0]:.4f}", f"{plan.loss_range[1]:.4f}", "-" if plan.usd is None else f"{plan.usd:,.0f}",
        f"{plan.device_hours:,.0f}", f"{plan.days:.3g}", f"{100 * plan.candidate.step.mfu:.1f}",
    )  # fmt: skip
