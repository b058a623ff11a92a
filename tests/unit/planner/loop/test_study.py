"""A study keeps what came out of runs; time and memory of the next ones are told from it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from planner.errors import BadRunsError, RefusedError
from planner.forecasts.ledger_entries import Outcome
from planner.loop.next_rungs import Spend, Unit, best_next
from planner.loop.own_speed import OwnSpeed
from planner.loop.study import Study, StudyRun


def made(params: float, tokens: float, **more: object) -> StudyRun:
    """A run of a law that Hoffmann's describes, on a machine of 20 GFLOP/s and 10 s to start."""
    loss = 0.9 + 20.0 / params**0.3 + 60.0 / tokens**0.3
    flops = 6.0 * params * tokens
    run = StudyRun(
        run=f"r{params:g}-{tokens:g}", params=params, tokens=tokens, flops=flops, loss=loss, steps=int(tokens // 1000),
        time_s=10.0 + flops / 20e9, memory_bytes=5e8 + 20.0 * params,
    )  # fmt: skip
    return replace(run, **more)  # type: ignore[arg-type]


def grid() -> list[StudyRun]:
    return [made(params, 10.0**power * 1e4) for params in (1e4, 3e4, 1e5) for power in (1.0, 1.5, 2.0, 2.5)]


def test_runs_come_back_as_they_went_in(tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    runs = [*grid(), made(1e5, 7e5, outcome=Outcome.DIVERGED, loss=None, time_s=None, seed=3, group="1e12")]
    assert study.runs() == ()
    assert study.add(runs) == len(runs)
    assert Study(tmp_path / "study").runs() == tuple(runs)
    assert study.add(runs) == 0


def test_a_failed_run_is_kept_and_is_no_evidence_until_it_finishes(tmp_path: Path) -> None:
    study = Study(tmp_path)
    failed = made(1e4, 1e5, outcome=Outcome.FAILED, loss=None)
    study.add([failed, *grid()])
    assert len(study.evidence()) == len(grid())
    finished = made(1e4, 1e5)
    study.add([replace(failed, run="other"), finished])
    assert len(study.evidence()) == len(grid())
    assert {run.run: run.outcome for run in study.runs()}["other"] is Outcome.FAILED


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.add([made(1e4, 1e5)])
    assert study.add([made(1e4, 1e5, loss=1.0)]) == 0
    assert study.runs()[0].loss == made(1e4, 1e5).loss


def test_evidence_of_at_most_a_compute(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.add(grid())
    few = study.evidence(1e10)
    assert 0 < len(few) < len(grid())
    assert few.flops.max() <= 1e10


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.add(grid())
    text = study.runs_path.read_text().splitlines()
    text[3] = text[3].replace("finished", "gone")
    study.runs_path.write_text("\n".join(text))
    with pytest.raises(BadRunsError, match=r"runs.csv, row 3: is no run of a study"):
        study.runs()


def test_time_and_memory_follow_from_the_runs_that_were_made() -> None:
    speed = OwnSpeed(grid())
    found = speed.predicted(made(3e5, 1e7))
    assert found["time_s"].value == pytest.approx(10.0 + 6.0 * 3e5 * 1e7 / 20e9, rel=0.01)
    assert found["memory_bytes"].value == pytest.approx(5e8 + 20.0 * 3e5, rel=0.01)
    widths = [math.log(high / low) for _, low, high in found["time_s"].intervals]
    assert widths == sorted(widths)


def test_nothing_is_said_of_time_from_a_few_runs() -> None:
    assert OwnSpeed(grid()[:3]).predicted(made(1e5, 1e6)) == {}
    assert OwnSpeed([made(1e4, 1e5, time_s=None, memory_bytes=None)] * 12).predicted(made(1e5, 1e6)) == {}


def test_noise_widens_the_interval_of_time() -> None:
    generator = np.random.default_rng(0)
    noisy = [replace(run, time_s=run.time_s * math.exp(generator.normal(0, 0.3))) for run in grid() if run.time_s]
    quiet, loud = (OwnSpeed(runs).predicted(made(1e5, 1e6))["time_s"] for runs in (grid(), noisy))
    assert quiet.intervals[1][2] / quiet.value < loud.intervals[1][2] / loud.value


@pytest.mark.parametrize(("unit", "amount"), [(Unit.FLOPS, 1e12), (Unit.HOURS, 0.1), (Unit.USD, 0.2)])
def test_the_next_runs_cost_what_may_be_spent(tmp_path: Path, unit: Unit, amount: float) -> None:
    study = Study(tmp_path)
    study.add(grid())
    spend = Spend(amount=amount, unit=unit, most_flops=1e12, most_runs=4, hourly_usd=2.0)
    found = best_next(study, spend, 1e13, lambda tokens: max(1, int(tokens // 1000)))
    assert 1 <= len(found.runs) <= 4
    assert found.cost <= amount
    assert all(after <= before for before, after in zip(found.before, found.after, strict=True))


def test_what_cannot_be_paid_or_told_is_refused(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.add([replace(run, time_s=None) for run in grid()])
    spend = Spend(amount=1.0, unit=Unit.HOURS, most_flops=1e12, most_runs=4)
    with pytest.raises(RefusedError, match="too few runs tell how long"):
        best_next(study, spend, 1e13, lambda tokens: 1)
    with pytest.raises(RefusedError, match="give --hourly-usd"):
        best_next(study, replace(spend, unit=Unit.USD), 1e13, lambda tokens: 1)
    with pytest.raises(RefusedError, match="pays for no run"):
        best_next(study, replace(spend, unit=Unit.FLOPS), 1e13, lambda tokens: 1)
