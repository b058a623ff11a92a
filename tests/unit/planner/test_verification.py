"""`plan verify`: every kind of suite passes as it is, and ends with 1 when what it looks at is changed."""

from dataclasses import replace
from typing import Any

import pytest

from planner.forecasts import backtesting
from planner.laws.runs import Runs
from planner.layout import Layout, Optimizer
from planner.verification import (
    flops_tables,
    forecast_splits,
    law_data,
    measured_steps,
    openclip_profile as openclip,
    published_memory,
    system,
)
from planner.verification.check import Check
from planner.verification.known_misses import KNOWN_MISSES, with_known_misses
from planner.verification.suites import SUITES, checks_of
from scripts.cli.plan_verify import verify


def _changed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    real = published_memory.estimate_memory

    def changed(profile: Any, layout: Layout, given: Any = None) -> Any:
        return real(profile, replace(layout, optimizer=Optimizer.ADAMW_8BIT), given)

    monkeypatch.setattr(published_memory, "estimate_memory", changed)


def _changed_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_memory, "EAGER", replace(published_memory.EAGER, eager_attention=False))


def _changed_mpt(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {**measured_steps.MPT_SHAPES, "7b": (4096, 32, 64)}
    monkeypatch.setattr(measured_steps, "MPT_SHAPES", shapes)


def _changed_megatron(monkeypatch: pytest.MonkeyPatch) -> None:
    real = system.fitted

    def changed(*given: Any) -> Any:
        found = real(*given)
        return replace(found, constants=1.1 * found.constants)

    monkeypatch.setattr(system, "fitted", changed)


def _changed_forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    real = backtesting.fit_ensemble

    def changed(evidence: Runs) -> Any:
        return real(replace(evidence, loss=1.02 * evidence.loss))

    monkeypatch.setattr(backtesting, "fit_ensemble", changed)


def _changed_flops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flops_tables, "_TOKENS", 4096)


def _changed_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(law_data, "OUTLIERS", "top:4")


def _changed_towers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openclip, "fvcore_macs", lambda *_, **__: 1.0)


_CHANGES = {
    "chinchilla": _changed_law,
    "chinchilla_tables": _changed_flops,
    "forecasts": _changed_forecasts,
    "megatron": _changed_megatron,
    "megatron_flops": _changed_flops,
    "memory": _changed_memory,
    "mpt": _changed_mpt,
    "openclip_scaling": _changed_towers,
    "torchtitan": _changed_memory,
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast_splits, "_interval_checks", lambda: ())


def _verified(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code, said = verify([name]), capsys.readouterr().out
    if "skipped" in said:
        pytest.skip(said)
    return code, said


@pytest.mark.parametrize("name", _CHANGES)
def test_a_suite_fails_when_what_it_checks_is_changed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = _verified(name, capsys)
    assert code == 0, said
    assert said.count(": known miss: ") == len(KNOWN_MISSES.get(name, ()))
    _CHANGES[name](monkeypatch)
    code, said = _verified(name, capsys)
    assert code == 1
    assert "MISSED" in said


def test_activations_are_those_of_the_estimate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _changed_activations(monkeypatch)
    assert _verified("memory", capsys)[0] == 1


def test_a_note_excuses_nothing_and_a_known_miss_only_its_own_value() -> None:
    known = KNOWN_MISSES["step_law"]["learning_rate: exponent b"]
    miss = Check("learning_rate: exponent b", 0.307, known.found, False, "interval", "a paper", "a note")
    [same], [moved], [other], [met] = (
        with_known_misses("step_law", [each])
        for each in (
            miss, replace(miss, found=1.05 * known.found), replace(miss, name="batch"), replace(miss, is_met=True),
        )
    )  # fmt: skip
    assert (same.has_failed, same.is_known_miss, same.note) == (False, True, known.why)
    assert moved.has_failed
    assert "until now" in moved.note
    assert other.has_failed
    assert not met.is_known_miss


def test_known_misses_name_suites_and_checks_that_there_are() -> None:
    assert set(KNOWN_MISSES) <= set(SUITES)
    for name in ("chinchilla_tables", "torchtitan"):
        assert set(KNOWN_MISSES[name]) <= {check.name for check in checks_of(name)}
