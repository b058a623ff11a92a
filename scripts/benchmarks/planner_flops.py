"""The planner's FLOPs: beside torch's FlopCounterMode over the real modules, and beside published tables."""

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from planner.errors import NoReferenceDataError
from planner.verification.check import Check
from planner.verification.suites import checks_of
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal

_NEEDED = ("transformers", "diffusers", "peft")
_ONCE = dict.fromkeys(Effort, 1)  # integers are the same each time
_COUNTED_AGAIN = 5
_QUICK_PARAMETERS = 2 * 10**9
_SUITES = ("chinchilla_tables", "megatron_flops", "openclip_profile", "openclip_scaling", "published_flops")

_ARCHITECTURES = Figure("Architectures counted as torch counts", "", Goal(at_least=60, of="ours"))
_UNEQUAL = Figure("Architectures not equal to torch, in forward or backward", "", Goal(at_most=0, of="ours"), True)
_WORST = Figure("Slowest architecture, from configuration to sums", "ms", Goal(at_most=50.0, of="ours"))
_TORCH = Figure("Median of torch on the meta device", "ms")
_MET = Figure("Published FLOPs and parameters within the printed digits", "%", Goal(at_least=99.0, of="ours"))
_ROWS = Figure("Published numbers compared", "")
_UNEXPLAINED = Figure("Published numbers missed without a reason", "", Goal(at_most=0, of="ours"), True)


@contextmanager
def _torch(effort: Effort) -> Iterator[Contest]:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        reason = f"{', '.join(missing)} not installed: pip install 'ostinato[dev]'"
        figures = (_ARCHITECTURES, _UNEQUAL, _WORST, _TORCH)
        yield Contest(ours=dict, left_out=dict.fromkeys((figure.name for figure in figures), reason))
        return
    yield Contest(ours=lambda: _beside_torch(effort))


def _beside_torch(effort: Effort) -> Mapping[str, float]:
    counts: Any = import_module("scripts.benchmarks.planner_torch_counts")
    equal, worst_ms, torch_ms = 0, 0.0, []
    cases = counts.cases()
    if effort is Effort.QUICK:
        cases = [case for case in cases if counts.ours(case).parameters < _QUICK_PARAMETERS]
    for case in cases:
        found = [counts.ours(case) for _ in range(_COUNTED_AGAIN)]
        expected = counts.theirs(case)
        equal += (found[0].forward, found[0].both) == (expected.forward, expected.both)
        worst_ms = max(worst_ms, statistics.median(count.wall_ms for count in found))
        torch_ms.append(expected.wall_ms)
    return {
        _ARCHITECTURES.name: equal,
        _UNEQUAL.name: len(cases) - equal,
        _WORST.name: worst_ms,
        _TORCH.name: statistics.median(torch_ms),
    }


@contextmanager
def _tables(effort: Effort) -> Iterator[Contest]:
    del effort
    checks: list[Check] = []
    absent: dict[str, str] = {}
    for name in _SUITES:
        try:
            checks += checks_of(name)
        except NoReferenceDataError as error:
            absent[name] = str(error)
    met = sum(check.is_met for check in checks)
    figures = {
        _MET.name: 100 * met / len(checks),
        _ROWS.name: len(checks),
        _UNEXPLAINED.name: sum(check.has_failed for check in checks),
    }
    yield Contest(ours=lambda: figures, absent=absent)


BESIDE_TORCH = Bench(
    figures=(_ARCHITECTURES, _UNEQUAL, _WORST, _TORCH), contest=_torch, warmup_rounds=0, rounds=_ONCE, packages=_NEEDED
)
PUBLISHED = Bench(figures=(_MET, _ROWS, _UNEXPLAINED), contest=_tables, warmup_rounds=0, rounds=_ONCE)
