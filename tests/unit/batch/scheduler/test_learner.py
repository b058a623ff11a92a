"""The learned index against closed forms, and the estimates against the truth."""

import numpy as np
import pytest

from batch.scheduler.durations import Durations
from batch.scheduler.learner import EDGES_S, NUM_BINS, Learner, bin_of, bins_of, gittins, remaining_quantiles


def test_bins_cover_sixty_days_and_agree_one_by_one() -> None:
    times = np.array([0.0, 59.0, 60.0, 61.0, 3600.0, 1e5, 60 * 86400.0, 1e9])
    assert bins_of(times).tolist() == [bin_of(float(t)) for t in times]
    assert bin_of(0.0) == 0
    assert bin_of(60.0) == 1
    assert bin_of(1e9) == NUM_BINS - 1


def test_gittins_of_equal_rates_is_that_rate() -> None:
    """An exponential's index is its rate whatever was attained, up to what bins make of it (ends uniform inside)."""
    rate = 1 / 20_000
    hazards = 1 - np.exp(-rate * np.diff(EDGES_S))[None]
    index = gittins(hazards)[0]
    assert index[: bin_of(10_000)] == pytest.approx(rate, rel=0.12)


def test_gittins_of_two_points() -> None:
    """Ends in bin 0 with probability p, else in bin k: the index is the better of stopping after 0 and after k."""
    for chance, far in ((0.5, 30), (0.01, 3), (0.9, 20)):
        hazards = np.zeros((1, NUM_BINS))
        hazards[0, 0], hazards[0, far] = chance, 1.0
        widths = np.diff(EDGES_S)
        first = chance / (widths[0] * (1 - chance / 2))
        spent = widths[0] * (1 - chance / 2) + (1 - chance) * (EDGES_S[far] - EDGES_S[1] + widths[far] / 2)
        assert gittins(hazards)[0, 0] == pytest.approx(max(first, 1 / spent))


def test_gittins_is_a_maximum_over_stopping_times() -> None:
    hazards = np.random.default_rng(0).uniform(0.001, 0.9, (3, NUM_BINS))
    index, widths = gittins(hazards), np.diff(EDGES_S)
    for cell in range(3):
        for start in (0, 7, 40):
            survival = np.cumprod(np.concatenate([[1.0], 1 - hazards[cell, start:-1]]))
            ends = np.cumsum(survival * hazards[cell, start:])
            spent = np.cumsum(survival * widths[start:] * (1 - hazards[cell, start:] / 2))
            assert index[cell, start] == pytest.approx((ends / spent).max(), rel=1e-9)


def test_quantiles_of_an_exponential() -> None:
    rate = 1 / 5_000
    hazards = 1 - np.exp(-rate * np.diff(EDGES_S))[None]
    hazards = np.minimum(hazards, 1 - 1e-12)
    assert remaining_quantiles(hazards, 0.5)[0, 10] == pytest.approx(np.log(2) / rate, rel=0.15)
    assert remaining_quantiles(hazards, 0.9)[0, 10] == pytest.approx(np.log(10) / rate, rel=0.15)


def test_hazards_converge_to_the_truth_with_jobs_that_still_run_counted() -> None:
    """Half of the jobs are censored at a random time, and still count where they were at risk."""
    random, learner = np.random.default_rng(1), Learner(10.0)
    learner.grow(1)
    for run_s, seen_s in zip(random.exponential(2_000, 20_000), random.exponential(2_000, 20_000), strict=True):
        last = bin_of(min(run_s, seen_s))
        learner.enter(0, -1, last)
        if run_s <= seen_s:
            learner.end(0, last)
    learner.rebuild()
    for at in (5, 8, 11):
        # Jobs that were censored inside a bin count as at risk in all of it.
        true = 1 - np.exp(-np.diff(EDGES_S)[at] / 2_000)
        assert 0.5 * true < learner.hazards[0, at] < 1.1 * true


def test_a_class_without_ends_borrows_from_its_team_and_its_size() -> None:
    learner = Learner(10.0)
    learner.grow(2)
    for _ in range(500):
        learner.enter(0, -1, 3)
        learner.end(0, 3)
    learner.rebuild()
    other_team, other_size = 5, 1
    assert learner.hazards[other_team, 3] > 5 * learner.hazards[other_team, 1]
    assert learner.hazards[other_size, 3] > 5 * learner.hazards[other_size, 1]
    assert (learner.rates > 0).all()


def test_teams_that_come_later_know_what_everybody_taught() -> None:
    learner = Learner(10.0)
    learner.grow(1)
    for _ in range(100):
        learner.enter(0, -1, 0)
        learner.end(0, 0)
    learner.grow(2)
    assert learner.rates[5, 0] > 1 / 120


def test_durations_are_those_of_the_last_rebuild_whoever_asked_when() -> None:
    """Else a question between two decisions changes the second."""

    def learned(asked: bool) -> list[list[float]]:
        learner = Learner(10.0)
        learner.grow(1)
        durations = Durations(learner, 10.0)
        model, found = durations.model(0, "", 0), []
        for _ in range(2):
            if asked:
                durations.remaining_s(0.5)
            learner.enter(0, -1, bin_of(100.0))
            learner.end(0, bin_of(100.0))
            durations.end(model, 100.0)
            found.append(durations.remaining_s(0.5)[model].tolist())
            learner.rebuild()
        return found

    assert learned(asked=True) == learned(asked=False)
    assert learned(asked=True)[0] != learned(asked=True)[1]
