"""The rungs of recipe `lm_ladder`: models by size, and how long, with which batch and warm-up a run of each is made."""

import itertools
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import yaml

from configs.compose import Composed, compose
from configs.convert import from_document
from configs.fingerprint import fingerprint
from configs.sources import SearchPath
from planner.architectures.our_models import read_ours
from planner.errors import BadInputError
from planner.flops import flops_of
from planner.loop.study import StudyRun
from recipes.config import CatalogueTextConfig, LmModelConfig

RECIPE = "lm_ladder"
FLOPS_PER_PARAM_TOKEN = 6.0
_PREFIX = "lm_"
_BATCH_SEQUENCES, _BATCH_EXPONENT, _FEWEST_SEQUENCES = 0.0026, 0.571, 2
"""Sequences of 128 in a batch: the exponent of tokens is that of StepLaw (Li et al. 2025, arXiv:2503.04715), the
factor was found here (docs/recipes.md)."""
_BATCH_SEQUENCE_LENGTH = 128
_WARMUP_SHARE, _LEAST_WARMUP, _MOST_WARMUP = 0.1, 10, 500


@dataclass(frozen=True, slots=True)
class Rung:
    """One run that is to be made: its configuration, and what it stands for in a study."""

    run: StudyRun
    model: str
    overrides: tuple[str, ...]
    composed: Composed
    model_flops: int
    """What its training asks for by planner.flops, attention included; `run.flops` is 6 · parameters · tokens."""


@cache
def sizes() -> dict[str, int]:
    """Return the number of parameters of each model of the ladder with tokens of bytes, smallest first."""
    found = {}
    search = SearchPath.of(())
    for option in search.options("model"):
        path = search.find(f"model/{option}")
        if option.startswith(_PREFIX) and path is not None:
            document = {"vocabulary": 256, **yaml.safe_load(path.read_text())["model"]}
            found[option] = _parameters(from_document(LmModelConfig, document))
    return dict(sorted(found.items(), key=lambda item: item[1]))


def nearest(params: Sequence[float]) -> list[str]:
    """Return a model for each wanted size, the nearest in ln N that is not taken yet, each once."""
    left = dict(sizes())
    chosen = []
    for wanted in params:
        if left:
            name = min(left, key=lambda model: abs(np.log(left[model] / wanted)))
            chosen.append(name)
            del left[name]
    return sorted(chosen, key=sizes().__getitem__)


def rung(model: str, flops: float, *, seed: int, group: str, more: Sequence[str] = ()) -> Rung:
    """Return the run of `model` whose 6 · parameters · tokens come as near to `flops` as whole steps allow.

    `more` are overrides of the user's, which come last. Raises BadInputError where it would not be one step, and the
    errors of `compose`.
    """
    if model not in sizes():
        raise BadInputError(f"model = {model}: must be one of {', '.join(sizes())}")
    params, length = _shape(model, tuple(more))
    tokens = flops / (FLOPS_PER_PARAM_TOKEN * params)
    sequences = batch_sequences(tokens, length)
    steps = round(tokens / (sequences * length))
    if steps < 1:
        raise BadInputError(f"{flops:.3g} FLOPs are not one step of {model}: give more, or a smaller model")
    warmup = min(_MOST_WARMUP, max(_LEAST_WARMUP, round(_WARMUP_SHARE * steps)))
    overrides = (
        f"recipe={RECIPE}", f"model={model}", "recipe.measure_all=false", f"run.steps={steps}",
        f"run.global_batch={sequences}", f"run.seed={seed}", f"optim.warmup_steps={min(warmup, steps - 1)}",
        f"checkpoint.every_steps={max(steps // 4, 1)}", *more,
    )  # fmt: skip
    composed = compose(overrides)
    run_spec = composed.spec.run
    trained = float(run_spec.steps * run_spec.global_batch * length)
    run = StudyRun(
        run=f"{RECIPE}-{fingerprint(composed.document)[:16]}", params=float(params), tokens=trained,
        flops=FLOPS_PER_PARAM_TOKEN * params * trained, group=group, seed=run_spec.seed, steps=run_spec.steps,
    )  # fmt: skip
    section = {**composed.document["model"], "sequence_length": length}
    return Rung(run, model, overrides, composed, flops_of(read_ours(section)).of_units(int(trained)))


def batch_sequences(tokens: float, sequence_length: int) -> int:
    """Return how many sequences make a batch of a run of that many tokens."""
    wanted = _BATCH_SEQUENCES * float(tokens**_BATCH_EXPONENT) * _BATCH_SEQUENCE_LENGTH / sequence_length
    return max(_FEWEST_SEQUENCES, round(wanted))


@cache
def _shape(model: str, more: tuple[str, ...]) -> tuple[int, int]:
    """Return parameters and sequence length of a model under the user's overrides."""
    spec = compose([f"recipe={RECIPE}", f"model={model}", *more]).spec
    if not isinstance(spec.model, LmModelConfig) or not isinstance(spec.data, CatalogueTextConfig):
        raise BadInputError(f"recipe={RECIPE} with a model or data of your own: its size and length are not known here")
    return _parameters(spec.model), spec.data.sequence_length


def _parameters(model: LmModelConfig) -> int:
    from recipes.models import parameter_count  # noqa: PLC0415 - torch: two seconds

    count = parameter_count(model)
    assert count is not None, "only a model of the user's own has none"
    return int(count)


def grid(
    more: Sequence[str],
    budgets: Sequence[float],
    *,
    points: int,
    seeds: int = 1,
    models: Sequence[str] | None = None,
    tokens_per_param: float,
    spread: float,
) -> list[Rung]:
    """Return isoFLOP lines: on each budget the models nearest to `points` sizes even in ln N about the middle.

    Raises BadInputError for a budget that no model can spend, or a model that there is not.
    """
    found = []
    for name, value in (("--tokens-per-param", tokens_per_param), ("--spread", spread)):
        if not np.isfinite(value):
            raise BadInputError(f"{name} {value}: must be a finite number")
    for budget in budgets:
        if not (np.isfinite(budget) and budget > 0):
            raise BadInputError(f"--budgets: {budget} must be positive and finite, in FLOPs")
        middle = float(np.sqrt(budget / (FLOPS_PER_PARAM_TOKEN * tokens_per_param)))
        wanted = middle * np.geomspace(1.0 / spread, spread, points)
        for model in models or nearest(wanted.tolist()):
            found += [rung(model, budget, seed=seed, group=f"{budget:g}", more=more) for seed in range(seeds)]
    return found


def new_rungs(planned: Sequence[tuple[float, float]], known: Container[str], more: Sequence[str]) -> list[Rung]:
    """Return the nearest model for each (parameters, FLOPs), with the first seed whose run is not known yet."""
    found: list[Rung] = []
    for params, flops in planned:
        [model] = nearest([params])
        taken = {one.run.run for one in found}
        seeds = (rung(model, flops, seed=seed, group=f"{flops:.3g}", more=more) for seed in itertools.count())
        found.append(next(one for one in seeds if one.run.run not in known and one.run.run not in taken))
    return found


def steps_of(tokens: float) -> int:
    """Return how many steps a run of so many tokens has."""
    return max(1, round(tokens / (batch_sequences(tokens, _BATCH_SEQUENCE_LENGTH) * _BATCH_SEQUENCE_LENGTH)))
