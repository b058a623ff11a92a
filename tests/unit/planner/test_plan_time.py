"""Time of steps and runs: the arithmetic of links and pipelines, fits that find what is in the data, honest ranges."""

import os
from pathlib import Path

import numpy as np
import pytest

from planner.architectures import BatchShape, load
from planner.errors import BadInputError
from planner.hardware import default_catalogue
from planner.layout import Layout
from planner.time_calibration import (
    ERROR_ELSEWHERE,
    PRIOR,
    TERMS,
    calibration_for,
    known_calibrations,
    read_calibrations,
    write_calibrations,
)
from planner.time_fit import fit_calibration, fit_constants
from planner.time_profile import time_profile, visible_fraction
from planner.time_run import live_run_time, run_time
from planner.time_step import StepTime, estimate_step, step_terms
from planner.time_work import links_bytes_per_s
from planner.verification.check import REFERENCE_DATA
from planner.verification.system import megatron_throughput, mpt_errors
from scripts.fit_times import calibrations

P5 = default_catalogue().instance("p5")
PROFILE = time_profile(load("llama3.1-8b"), BatchShape(1, 2048))


def terms(**layout: object) -> dict[str, float]:
    return dict(zip(TERMS, step_terms(PROFILE, Layout().changed(**layout), P5), strict=True))


def test_work_is_cut_by_tensor_parallelism_and_grows_with_micro_batches() -> None:
    one, cut, more = terms(), terms(tp=8), terms(accumulation=4)
    assert cut["matmul"] == pytest.approx(one["matmul"] / 8)
    assert more["matmul"] == pytest.approx(4 * one["matmul"])
    assert one["collectives"] == 0.0 < cut["collectives"]


def test_products_take_flops_over_peak() -> None:
    whole = float((PROFILE.matmul_forward + PROFILE.matmul_backward).sum())
    assert terms()["matmul"] == pytest.approx(whole / 989e12)
    assert terms(recompute="full")["matmul"] > 1.2 * terms()["matmul"]


@pytest.mark.parametrize(("pp", "micro_batches", "interleave"), [(4, 8, 1), (8, 8, 1), (4, 16, 2)])
def test_a_pipelines_bubble_is_that_of_the_paper(pp: int, micro_batches: int, interleave: int) -> None:
    def step(number: int) -> StepTime:
        layout = Layout(pp=pp, accumulation=number, interleave=interleave)
        return estimate_step(PROFILE, layout, P5, calibration_for("h100-80gb"))

    found, one_more = step(micro_batches), step(micro_batches + pp)
    of_micro_batch = (one_more.total_s - found.total_s) / pp
    assert dict(found.parts)["bubble"] == pytest.approx((pp - 1) / interleave * of_micro_batch, rel=0.02)


@pytest.mark.parametrize(("zero", "reduction", "gathers"), [(0, 2, 0), (1, 2, 0), (2, 1, 4), (3, 0, 12)])
def test_what_zero_sends(zero: int, reduction: int, gathers: int) -> None:
    found = terms(dp=8, zero=zero, accumulation=4)
    once = 2.0 * PROFILE.parameters * 7 / 8 / 450e9
    assert found["reduction"] == pytest.approx(reduction * once)
    assert found["gathers"] == pytest.approx(gathers * once)


def test_links_within_and_between_instances() -> None:
    found = links_bytes_per_s(P5, np.array([8, 64, 8]), inner=np.array([1, 1, 8]))
    assert found.tolist() == [450e9, 400e9, 50e9]
    alone = default_catalogue().instance("trn1.2xlarge")
    assert links_bytes_per_s(alone, np.array([4]), inner=np.array([1])).tolist() == [12.5e9 / 8]


def test_half_of_causal_attention_is_seen_and_less_with_a_window() -> None:
    blocks = load("mistral-7b").blocks(BatchShape(1, 8192))
    attention = next(one for block in blocks for one in block.operations if one.kind == "attention")
    window = attention.window or 8192
    expected = (window * (window + 1) / 2 + (8192 - window) * window) / 8192**2
    assert visible_fraction(attention) == pytest.approx(expected)


def test_a_fit_finds_the_constants_in_the_data() -> None:
    generator = np.random.default_rng(0)
    constants = np.array([1.4, 4.0, 40.0, 2.5, 1.5, 1.3, 1.1, 6e-4, 0.03])
    rows = generator.uniform(0.1, 1.0, (120, len(TERMS))) * (1.0 / np.maximum(constants, 1e-9))
    found = fit_constants(rows, rows @ constants)
    assert np.allclose(rows @ found, rows @ constants, rtol=0.02)


def test_what_measurements_do_not_say_stays_at_the_prior() -> None:
    rows = np.zeros((5, len(TERMS)))
    rows[:, 0] = [1.0, 2.0, 3.0, 4.0, 5.0]
    found = fit_constants(rows, 1.7 * rows[:, 0])
    assert found[0] == pytest.approx(1.7, abs=0.01)
    assert np.allclose(found[1:], PRIOR[1:])


@pytest.mark.parametrize(("rows", "seconds"), [(1, [1.0]), (2, [1.0, -1.0]), (2, [1.0, np.nan])])
def test_bad_measurements_are_refused(rows: int, seconds: list[float]) -> None:
    with pytest.raises(BadInputError, match="calibration"):
        fit_constants(np.ones((rows, len(TERMS))), np.array(seconds))


def test_calibrations_are_written_and_read(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).uniform(0.1, 1.0, (12, len(TERMS)))
    made = fit_calibration("mine", "trn2", rows, rows.sum(axis=1), ["a", "b", "c"] * 4, "my log")
    write_calibrations(tmp_path / "mine.csv", (made,))
    (read,) = read_calibrations(tmp_path / "mine.csv")
    assert np.allclose(read.constants, made.constants, rtol=1e-5)
    assert calibration_for("trn2", (read,)).name == "mine"


def test_another_accelerator_gets_constants_that_say_so() -> None:
    found = calibration_for("trn2")
    assert found.relative_error == ERROR_ELSEWHERE
    assert "nothing was measured on trn2" in found.described("trn2")


def test_an_estimate_adds_up_and_says_where_it_is_from() -> None:
    step = estimate_step(PROFILE, Layout(dp=8, zero=3), P5, calibration_for("h100-80gb"))
    assert sum(seconds for _, seconds in step.parts) == pytest.approx(step.total_s)
    low, high = step.interval_s()
    assert low < step.total_s < high
    assert 0.2 < step.mfu < 0.6
    assert "llm-foundry" in step.provenance
    run = run_time(step, 1000)
    assert run.seconds == pytest.approx(1000 * step.total_s)


def test_the_rest_of_a_run_is_covered_as_promised() -> None:
    generator = np.random.default_rng(2)
    inside, errors = 0, []
    for _ in range(200):
        noise = generator.gamma(20.0, 0.05, 20_000) + 2.0 * (generator.random(20_000) < 0.005)
        found = live_run_time(noise[:200], 20_000, level=0.9)
        inside += found.low_s <= noise.sum() <= found.high_s
        errors.append(abs(found.seconds / noise.sum() - 1.0))
    assert 0.8 <= inside / 200 <= 0.98
    assert float(np.mean(errors)) < 0.02


@pytest.mark.parametrize(("made", "steps"), [(5, 100), (50, 20)])
def test_too_few_or_too_many_steps_are_refused(made: int, steps: int) -> None:
    with pytest.raises(BadInputError, match="steps"):
        live_run_time(np.ones(made), steps)


@pytest.mark.skipif(not os.environ.get(REFERENCE_DATA), reason=f"{REFERENCE_DATA} is not set")
class TestPublished:
    def test_mpt_with_one_size_left_out(self) -> None:
        steps, errors = mpt_errors()
        assert len(steps) == 209
        assert np.abs(errors).mean() <= 0.05

    def test_megatron_with_constants_from_elsewhere(self) -> None:
        assert all(check.is_met for check in megatron_throughput())

    def test_what_is_kept_is_what_is_fitted(self) -> None:
        for kept, fitted in zip(known_calibrations(), calibrations(), strict=True):
            assert kept.name == fitted.name
            assert np.allclose(kept.constants, fitted.constants, rtol=1e-3, atol=1e-6)
