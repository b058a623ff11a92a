"""Recommendations: the bounds leave the answer as it is, limits hold, and what is assumed is said."""

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest

from planner.errors import BadInputError, DoesNotFitError, RefusedError, UnknownNameError
from planner.hardware import Price, Terms, default_catalogue
from planner.recommendation.conditions import Conditions, Limits, Machines
from planner.recommendation.ladders import FAMILIES, ladder
from planner.recommendation.loss_models import CHINCHILLA, published_law
from planner.recommendation.plans import Planner
from planner.recommendation.recommend import front_of, machines_to_be_had, recommend

CATALOGUE = default_catalogue()
DAY_S = 86_400.0
LADDER = ladder("llama")[4:10]
CONDITIONS = Conditions(text_tokens=2048)


def to_be_had(*names: str, limits: Limits) -> list[Machines]:
    return machines_to_be_had(CATALOGUE, [CATALOGUE.instance(name) for name in names], limits)[0]


@pytest.mark.parametrize(
    "limits",
    [Limits(usd=2e4, deadline_s=10 * DAY_S, devices=64), Limits(device_hours=3000, devices=64),
     Limits(deadline_s=2 * DAY_S, devices=64)],
)  # fmt: skip
def test_bounds_change_nothing(limits: Limits) -> None:
    machines = to_be_had("p5", "trn1", limits=limits)
    found = recommend(LADDER, machines, limits, CHINCHILLA, CONDITIONS)
    planner = Planner(limits, CONDITIONS, CHINCHILLA)
    every = [plan for rung in LADDER for where in machines if (plan := planner.plan(rung, where))]
    least = min(every, key=lambda plan: plan.loss)
    assert found.front[0].loss == least.loss
    assert found.looked_at < found.of == len(LADDER) * len(machines)
    for plan in every:
        assert plan.tokens <= planner.most_tokens(plan.rung, plan.machines)
    of_machines = [[plan for plan in every if plan.machines == where] for where in machines]
    expected = front_of([min(plans, key=lambda plan: plan.loss) for plans in of_machines if plans])
    assert [(plan.loss, plan.days) for plan in found.front] == [(plan.loss, plan.days) for plan in expected]


def test_limits_hold_and_are_used() -> None:
    limits = Limits(usd=2e4, deadline_s=10 * DAY_S, devices=64)
    conditions = replace(CONDITIONS, infer_tokens=1e10)
    found = recommend(LADDER, to_be_had("p5", limits=limits), limits, CHINCHILLA, conditions)
    assert found.is_single_answer
    for plan in found.front:
        assert plan.usd is not None
        assert plan.usd <= 2e4 * (1 + 1e-9)
        assert plan.wall_s <= 10 * DAY_S
        assert plan.machines.devices <= 64
        assert plan.candidate.verdict.fits
        assert plan.candidate.verdict.layout.devices == plan.machines.devices
        assert plan.loss_range[0] < plan.loss < plan.loss_range[1]
        assert plan.infer_hours == pytest.approx(2 * plan.rung.params * 1e10 / (0.2 * 989e12) / 3600)
        assert plan.wall_s > plan.productive_s
    assert found.choice.usd == pytest.approx(2e4, rel=0.01)


def test_what_is_asked_afterwards_makes_the_model_smaller() -> None:
    limits = Limits(usd=2e4, deadline_s=20 * DAY_S, devices=64)
    machines = to_be_had("p5", limits=limits)
    plain = recommend(ladder("llama"), machines, limits, CHINCHILLA, CONDITIONS)
    asked = recommend(ladder("llama"), machines, limits, CHINCHILLA, replace(CONDITIONS, infer_tokens=4e11))
    assert asked.choice.rung.params < plain.choice.rung.params
    assert asked.choice.tokens / asked.choice.rung.params > plain.choice.tokens / plain.choice.rung.params
    assert any("2N FLOPs a token at 20% of the peak, assumed" in note for note in asked.notes)


def test_spot_is_cheaper_and_interrupted_more() -> None:
    instance = CATALOGUE.instance("p5")
    dollars = zip(Terms, (55, 20), strict=True)
    prices = {terms: Price(usd, date(2026, 11, 1), terms, "-", "test") for terms, usd in dollars}
    limits = Limits(usd=2e4, deadline_s=20 * DAY_S, devices=64)
    machines = [Machines(instance, 64, terms, price) for terms, price in prices.items()]
    found = recommend(LADDER, machines, limits, CHINCHILLA, CONDITIONS)
    assert found.choice.machines.terms is Terms.SPOT
    planner = Planner(limits, CONDITIONS, CHINCHILLA)
    steady, reclaimed = (planner.plan(LADDER[0], one) for one in machines)
    assert steady
    assert reclaimed
    assert steady.checkpoint_every_s
    assert reclaimed.checkpoint_every_s
    assert reclaimed.checkpoint_every_s < steady.checkpoint_every_s
    assert any(note.startswith("spot: 0.05 reclaims") for note in found.notes)


def test_no_answer_beyond_the_evidence() -> None:
    limits = Limits(usd=1e9, deadline_s=200 * DAY_S, devices=16_384)
    machines = [one for one in to_be_had("p5", limits=limits) if one.devices == 16_384]
    rungs = ladder("llama3-70b")
    with pytest.raises(RefusedError, match="times the compute of the largest run"):
        recommend(rungs, machines, limits, CHINCHILLA)
    forced = recommend(rungs, machines, limits, CHINCHILLA, force=True)
    assert forced.is_forced
    assert forced.to_json()["is_forced"] is True


def test_where_nothing_can_be_trained() -> None:
    limits = Limits(usd=10.0, devices=8)
    with pytest.raises(DoesNotFitError, match="none of 1 models makes a step: training ends by the dollars"):
        recommend(ladder("llama3.1-405b"), to_be_had("p5", limits=limits), limits, CHINCHILLA)
    with pytest.raises(DoesNotFitError, match="nothing is left for training: inference of"):
        recommend(LADDER, to_be_had("p5", limits=limits), limits, CHINCHILLA, Conditions(infer_tokens=1e15))
    found, notes = machines_to_be_had(CATALOGUE, [CATALOGUE.instance("trn2")], limits)
    assert not found
    with pytest.raises(DoesNotFitError, match="sources conflict"):
        recommend(LADDER, found, limits, CHINCHILLA, notes=notes)


def test_without_a_price_hours_and_deadlines_still_count() -> None:
    limits = Limits(deadline_s=DAY_S, devices=32)
    found = recommend(LADDER[:3], to_be_had("trn2", limits=limits), limits, CHINCHILLA, CONDITIONS)
    assert found.choice.usd is None
    assert not found.is_single_answer
    assert found.why.startswith("no budget, so no single answer")
    assert found.to_json()["choice"]["price"] is None


def test_input_that_cannot_be_meant() -> None:
    with pytest.raises(BadInputError, match="no budget: give dollars"):
        Limits()
    with pytest.raises(BadInputError, match="usd = -1"):
        Limits(usd=-1)
    with pytest.raises(BadInputError, match="infer_mfu"):
        Conditions(infer_mfu=0.0)
    with pytest.raises(UnknownNameError, match="law 'palm'"):
        published_law("palm")
    with pytest.raises(BadInputError, match="has experts"):
        ladder("mixtral-8x7b")
    with pytest.raises(BadInputError, match="models of text"):
        ladder("vit-b-16")


@pytest.mark.parametrize("family", FAMILIES)
def test_ladders_climb(family: str) -> None:
    sizes = [rung.params for rung in ladder(family)]
    assert sizes == sorted(sizes)
    assert all(below < above < 3.0 * below for below, above in pairwise(sizes))
    assert all(rung.body_params < rung.params for rung in ladder(family))


def test_published_shapes_are_on_the_ladder() -> None:
    sizes = {round(rung.params / 1e9, 2) for rung in ladder("llama")}
    assert {8.03, 70.55} <= sizes
