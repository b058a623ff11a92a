"""Repeated tokens, learning curves under way, errors along an envelope, learning rates and batches."""

import numpy as np
import pytest
from fixtures_laws import TRUE_VALUES, noiseless

from planner.errors import BadInputError, BadRunsError
from planner.laws import compare, runs_of
from planner.laws.curve_completion import Curve, complete
from planner.laws.data_constrained import C4, DATA_CONSTRAINED
from planner.laws.error_envelope import error_envelope
from planner.laws.hyperparameters import STEP_LAW, cell_optima, fit_hyperparameters
from planner.laws.law import predict
from planner.laws.learning_curve import LEARNING_CURVE, areas
from planner.laws.loss_laws import HOFFMANN
from planner.laws.repetition import over_own_base, posterior, profile
from planner.laws.runs import Array, Runs


def test_data_seen_once_by_a_small_model_are_as_good_as_hoffmann_says() -> None:
    columns = {"params": np.array([1e7]), "tokens": np.array([1e10]), "unique_tokens": np.array([1e10])}
    base = {"E": C4.floor, "A": C4.coefficient_a, "B": C4.coefficient_b, "alpha": C4.alpha, "beta": C4.beta}
    once = predict(DATA_CONSTRAINED, TRUE_VALUES["data_constrained"], columns)
    assert once == pytest.approx(predict(HOFFMANN, base, columns), rel=1e-12)


def test_repetition_is_worth_ever_less() -> None:
    epochs = np.array([1.0, 2.0, 4.0, 16.0, 64.0, 256.0])
    columns = {"params": np.full(6, 1e8), "tokens": 1e9 * epochs, "unique_tokens": np.full(6, 1e9)}
    loss = predict(DATA_CONSTRAINED, TRUE_VALUES["data_constrained"], columns)
    assert (np.diff(loss) < 0).all()
    fresh = predict(DATA_CONSTRAINED, TRUE_VALUES["data_constrained"], {**columns, "unique_tokens": columns["tokens"]})
    assert (np.diff(loss - fresh) > 0).all()


def noisy_repeats() -> Runs:
    runs = noiseless(DATA_CONSTRAINED, 150)
    noise = np.random.default_rng(0).laplace(size=150, scale=0.01)
    return runs_of(runs.params, runs.tokens, runs.loss * np.exp(noise), unique_tokens=runs.other["unique_tokens"])


def test_the_posterior_holds_the_truth_and_its_predictions_widen_with_repetition() -> None:
    found = posterior(DATA_CONSTRAINED, noisy_repeats())
    assert found.weights.sum() == pytest.approx(1.0)
    for name, (low, high) in found.quantiles(np.array([0.01, 0.99])).items():
        assert low < TRUE_VALUES["data_constrained"][name] < high
    columns = {"params": np.full(2, 1e9), "tokens": np.array([2e10, 4e11]), "unique_tokens": np.full(2, 1e10)}
    middle, low, high = found.predict(columns)
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (high - low)[1] > (high - low)[0]
    with pytest.raises(BadInputError, match="level = 2"):
        found.predict(columns, 2.0)


def test_a_profile_is_least_near_the_truth() -> None:
    half_lives, objective = profile(posterior(DATA_CONSTRAINED, noiseless(DATA_CONSTRAINED)), "R_D*")
    assert half_lives[np.argmin(objective)] == pytest.approx(TRUE_VALUES["data_constrained"]["R_D*"], rel=0.1)
    with pytest.raises(BadInputError, match="must be one of R_D"):
        profile(posterior(DATA_CONSTRAINED, noiseless(DATA_CONSTRAINED)), "R")


def cosine(steps: int, peak: float = 1e-3) -> Array:
    at = np.arange(1, steps + 1)
    warm = np.minimum(at / 50.0, 1.0)
    return np.asarray(peak * warm * (0.55 + 0.45 * np.cos(np.pi * at / steps)))


def curve(schedule: Array, upto: float = 1.0) -> Curve:
    forward, annealing = areas(schedule)
    at = np.arange(50, int(upto * len(schedule)) + 1, 50)
    columns = {"forward_area": forward[at - 1], "annealing_area": annealing[at - 1]}
    return Curve(at.astype(np.float64), predict(LEARNING_CURVE, TRUE_VALUES["learning_curve"], columns), schedule)


def test_areas_are_the_sums_of_the_paper() -> None:
    rates = np.array([1.0, 2.0, 2.0, 1.5, 1.0])
    forward, annealing = areas(rates, 0.5)
    assert forward.tolist() == [1.0, 3.0, 5.0, 6.5, 7.5]
    momentum = [0.0, 0.0, 0.0, 0.5, 0.75]  # drops of .5 and .5, the first half forgotten
    assert annealing.tolist() == np.cumsum(momentum).tolist()
    with pytest.raises(BadInputError, match="decay = 1"):
        areas(rates, 1.0)
    with pytest.raises(BadInputError, match="greater than 0"):
        areas(np.array([0.0, 1.0]))


def test_a_run_under_way_is_completed_from_its_start_and_a_finished_one() -> None:
    schedule = cosine(8000)
    found = complete(curve(schedule, 0.3), [curve(cosine(2000)), curve(cosine(3000))], bootstrap=20)
    end = curve(schedule).losses[-1]
    assert found.loss == pytest.approx(end, rel=1e-5)
    assert found.interval is not None
    assert found.interval[0] <= found.loss * (1 + 1e-6)


def test_a_curve_that_has_not_begun_to_anneal_says_nothing_of_annealing() -> None:
    constant = np.full(1000, 1e-3)
    with pytest.raises(BadRunsError, match="none is annealed"):
        complete(Curve(np.arange(100.0, 900.0, 100.0), np.linspace(4, 3, 8), constant))
    with pytest.raises(BadInputError, match="must lie in 1 to 1000"):
        Curve(np.array([1001.0]), np.array([3.0]), constant)
    with pytest.raises(BadInputError, match="as many"):
        Curve(np.array([1.0, 2.0]), np.array([3.0]), constant)


def test_the_envelope_of_errors_finds_the_exponent_of_the_best() -> None:
    flops = np.geomspace(1e10, 1e13, 60)
    error = 5.0 * flops**-0.11
    worse = error * np.where(np.arange(60) % 4 == 3, 1.0, 1.3)
    coefficient, exponent = error_envelope(flops, worse)
    assert exponent == pytest.approx(-0.11, abs=0.012)
    # the least of a bin is put at its middle: a steep law is taken for a little better than it is
    assert coefficient * 1e12**exponent == pytest.approx(5.0 * 1e12**-0.11, rel=0.08)
    with pytest.raises(BadRunsError, match="2 are needed"):
        error_envelope(np.full(3, 1e12), np.full(3, 0.5))


def sweeps() -> Runs:
    """Return grids around Step Law's own optima: bowls in ln lr and ln batch."""
    rows = []
    rate_law, batch_law = STEP_LAW["learning_rate"], STEP_LAW["batch_tokens"]
    for params, tokens in [(n, d) for n in (1e8, 3e8, 1e9) for d in (4e9, 2e10, 1e11)]:
        rate = rate_law["c"] * params ** -rate_law["a"] * tokens ** -rate_law["b"]
        batch = batch_law["c"] * tokens ** -batch_law["b"]
        for off_rate in np.linspace(-1.1, 0.9, 6):
            for off_batch in np.linspace(-0.8, 1.2, 6):
                bowl = 0.006 * off_rate**2 + 0.004 * off_batch**2 + 0.002 * off_rate * off_batch
                rows.append((params, tokens, 3.0 * np.exp(bowl), rate * np.exp(off_rate), batch * np.exp(off_batch)))
    params, tokens, loss, rates, batches = np.array(rows).T
    return runs_of(params, tokens, loss, learning_rate=rates, batch_tokens=batches)


def test_step_law_is_recovered_from_bowls_around_it() -> None:
    rate, batch = fit_hyperparameters(sweeps(), bootstrap=20)
    assert rate.values == pytest.approx(STEP_LAW["learning_rate"], rel=0.02)
    assert batch.values == pytest.approx(STEP_LAW["batch_tokens"], rel=0.02)


def test_a_comparison_of_sweeps_has_the_best_learning_rate_and_batch() -> None:
    found = {each.law.name: each.values for each in compare(sweeps()).fits}
    assert found["learning_rate"]["a"] == pytest.approx(0.713, rel=0.02)
    assert found["batch_tokens"]["b"] == pytest.approx(-0.571, rel=0.02)


def test_cells_with_too_few_runs_are_told() -> None:
    runs = sweeps()
    few = runs.where((runs.params > 2e8) | (np.arange(len(runs)) < 4))
    assert any("runs near the best" in note for note in cell_optima(few).notes)
    with pytest.raises(BadRunsError, match="vary both"):
        cell_optima(runs.take(np.arange(4)))


def test_the_base_is_fitted_to_the_runs_that_repeat_nothing() -> None:
    runs = noiseless(DATA_CONSTRAINED, 200)
    once = np.arange(200) < 60
    tokens = runs.tokens
    unique = np.where(once, tokens, np.minimum(runs.other["unique_tokens"], tokens / 2.0))
    params = np.where(once, np.minimum(runs.params, 0.2 * C4.optimal_params(unique)), runs.params)
    columns = {"params": params, "tokens": tokens, "unique_tokens": unique}
    loss = predict(DATA_CONSTRAINED, TRUE_VALUES["data_constrained"], columns)
    found = over_own_base(runs_of(params, tokens, loss, unique_tokens=unique))
    assert (found.base.floor, found.base.alpha) == pytest.approx((C4.floor, C4.alpha), rel=1e-3)
    assert "the 60 runs of one epoch" in found.source
    with pytest.raises(BadRunsError, match="needs at least 6"):
        over_own_base(runs_of(params[60:], tokens[60:], loss[60:], unique_tokens=unique[60:]))
