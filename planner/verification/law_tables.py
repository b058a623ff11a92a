"""Tables and figures that others printed: OLMo's ladder, CLIP's exponents, Step Law, and completed learning curves."""

from collections.abc import Sequence

import numpy as np

from planner.laws.curve_completion import Curve, complete
from planner.laws.error_envelope import error_envelope
from planner.laws.fitting import fit
from planner.laws.hyperparameters import STEP_LAW, fit_hyperparameters
from planner.laws.loss_laws import ERROR, HOFFMANN
from planner.laws.runs import Runs, runs_of
from planner.verification import law_data
from planner.verification.check import Check

LADDER = "Bhagia et al. 2024 (arXiv 2412.04403), tables of allenai/OLMo-ladder"
C4_LOSS = "eval/c4_en-validation/CrossEntropyLoss"
_BITS = "eval/downstream_bpb/{}_rc_5shot_bpb"
_MMLU = ("stem", "humanities", "social_sciences", "other")
_MMLU_WEIGHTS = (0.215, 0.335, 0.219, 0.231)
_TASKS = (
    "hellaswag_val", "arc_challenge_test", "arc_easy_test", "piqa_val", "csqa_val", "socialiqa_val", "openbookqa_test",
)  # fmt: skip
CLIP = "Cherti et al. 2022 (arXiv 2212.07143), figure 1 and its notebook (LAION-AI/scaling-laws-openclip)"
_CLIP_EXPONENTS = (
    ("imagenet1k", "acc1", False, -0.11),
    ("imagenet1k", "acc1", True, -0.16),
    ("imagenet_robustness", "acc1", False, -0.13),
    ("imagenet_robustness", "acc1", True, -0.24),
)
_CURVES = (("190M", "5xC"), ("190M", "10xC"), ("370M", "10xC"), ("760M", "5xC"), ("1B", "10xC"))
_SEEN = 0.3
_CURVE_TOLERANCE = 5e-3


def olmo_ladder_suite() -> Sequence[Check]:
    """Return the ladder's step 1: forecasts of OLMo 2 13B's losses, and how well sixteen small runs are fitted."""
    bits, c4 = law_data.ladder_table("step1_main"), law_data.ladder_table("step1_c4_main")
    checks = _ladder_checks("C4", law_data.ladder((C4_LOSS,)), c4["hellaswag_val_5shot"])
    for task in _TASKS:
        checks += _ladder_checks(task, law_data.ladder((_BITS.format(task),)), bits[f"{task}_5shot"])
    columns = tuple(_BITS.format(f"mmlu_{part}_test") for part in _MMLU)
    return checks + _ladder_checks("mmlu", law_data.ladder(columns, _MMLU_WEIGHTS), bits["mmlu_avg_test_5shot"])


def _ladder_checks(task: str, runs: Runs, row: dict[str, float]) -> list[Check]:
    found = fit(runs, HOFFMANN)
    params, tokens = (np.array([value]) for value in law_data.LADDER_TARGET)
    loss = float(found.predict({"params": params, "tokens": tokens})[0])
    error = float(np.abs(found.predict(found.runs.columns()) / found.runs.loss - 1.0).mean())
    return [
        Check(name, expected, value, abs(value / expected - 1.0) < 1e-6, "1e-6 relative", LADDER)
        for name, expected, value in (
            (f"{task}: loss of OLMo 2 13B", row["Pred"], loss),
            (f"{task}: mean error of the fit", row["Fit Error"], error),
        )
    ]


def openclip_suite() -> Sequence[Check]:
    """Return the exponents of CLIP's zero-shot errors in total compute, along the envelope (OpenAI's: all three)."""
    checks = []
    for data_set, metric, by_openai, printed in _CLIP_EXPONENTS:
        compute, error = law_data.openclip(data_set, metric, by_openai=by_openai)
        if by_openai:
            runs = runs_of(compute, compute, error, compute)
            exponent = -fit(runs, ERROR, delta=1.0).values["alpha"]
        else:
            exponent = error_envelope(compute, error)[1]
        who = "OpenAI CLIP" if by_openai else "OpenCLIP"
        name = f"{who}, {data_set}: exponent of compute"
        checks.append(Check(name, printed, exponent, round(exponent, 2) == printed, "printed digits", CLIP))
    return checks


def step_law_suite() -> Sequence[Check]:
    """Return Step Law's exponents, fitted again to the optima of its 17 cells."""
    fits = fit_hyperparameters(law_data.step_law(), bootstrap=500)
    checks = []
    for found in fits:
        for name, (low, high) in found.intervals(0.95).items():
            if name == "c":
                continue  # it is an extrapolation of the line to one parameter and one token
            published = STEP_LAW[found.law.name][name]
            is_met = low <= published <= high
            what = f"{found.law.name}: exponent {name}"
            tolerance = f"our 95 % interval, {-high:.3f} to {-low:.3f}"
            checks.append(Check(what, -published, -found.values[name], is_met, tolerance, found.law.source))
    return checks


def learning_curves_suite() -> Sequence[Check]:
    """Return final losses on C4 of OLMo's ladder, completed from 30 % of the run and two finished shorter ones."""
    checks = []
    for size, length in _CURVES:
        target = _curve(f"{size}-{length}")
        part = target.steps <= _SEEN * len(target.learning_rates)
        under_way = Curve(target.steps[part], target.losses[part], target.learning_rates)
        found = complete(under_way, [_curve(f"{size}-1xC"), _curve(f"{size}-2xC")]).loss
        measured = float(target.losses[-3:].mean())
        is_met = abs(found / measured - 1.0) <= _CURVE_TOLERANCE
        checks.append(Check(f"{size}-{length}", measured, found, is_met, f"{_CURVE_TOLERANCE:g} relative", LADDER))
    return checks


def _curve(run: str) -> Curve:
    steps, rates, _, losses = law_data.ladder_curve(run, C4_LOSS)
    all_steps = np.arange(1.0, steps[-1] + 1.0)
    schedule = np.interp(all_steps, np.concatenate([[0.0], steps]), np.concatenate([[0.0], rates]))
    return Curve(steps, losses, schedule)
