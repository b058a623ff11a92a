"""Published numbers, computed again from the reference data."""

import pytest
from fixtures_laws import reference

from planner.errors import NoReferenceDataError, UnknownNameError
from planner.laws import fit
from planner.laws.compute_optimal import frontier_exponent
from planner.laws.loss_laws import HOFFMANN
from planner.verification import law_data
from planner.verification.law_fits import EPOCH_GRID_OBJECTIVE, OPTIMUM
from planner.verification.suites import SUITES, checks_of, suite_named

LAWS_OF = ("chinchilla", "data_constrained", "learning_curves", "olmo_ladder", "openclip_exponents", "step_law")


@pytest.mark.parametrize("name", LAWS_OF)
def test_every_check_is_met_or_its_miss_explained(name: str) -> None:
    checks = reference(lambda: checks_of(name))
    missed = [check.name for check in checks if check.has_failed]
    assert missed == []
    assert sum(check.is_met for check in checks) >= len(checks) - 1


def test_suites_are_sorted_and_unknown_ones_are_named() -> None:
    assert list(SUITES) == sorted(SUITES)
    with pytest.raises(UnknownNameError, match="chinchilla"):
        suite_named("chinchila")


def test_without_the_data_a_suite_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSTINATO_REFERENCE_DATA", raising=False)
    law_data.chinchilla.cache_clear()
    with pytest.raises(NoReferenceDataError, match="OSTINATO_REFERENCE_DATA is not set"):
        suite_named("chinchilla")()


def test_approach_3_ends_in_the_optimum_of_4500_starts() -> None:
    found = fit(reference(law_data.chinchilla), HOFFMANN, outliers="top:5")
    assert len(found.runs) == 240
    assert found.objective <= EPOCH_GRID_OBJECTIVE
    assert found.values == pytest.approx(OPTIMUM, rel=1e-4)


def test_five_points_move_the_exponent_by_a_twentieth() -> None:
    runs = reference(law_data.chinchilla)
    found = [fit(runs, HOFFMANN, outliers=policy).values for policy in ("none", "top:5")]
    every, most = (frontier_exponent(values["alpha"], values["beta"]) for values in found)
    assert every - most == pytest.approx(0.05, abs=0.005)


def test_the_bootstrap_has_the_published_errors() -> None:
    """Standard errors of 1,000 independent resamples, each polished by BFGS: E .026, alpha .0146, beta .0208."""
    found = fit(reference(law_data.chinchilla), HOFFMANN, outliers="top:5", bootstrap=1000)
    spread = found.draws.std(axis=0)
    assert spread[3:] == pytest.approx([0.0146, 0.0208], rel=0.1)
