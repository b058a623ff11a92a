"""The benchmark harness: turns, medians, ratios, goals, and the document, with fake contestants and a fake clock."""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scripts.benchmarks import __main__ as command, discovery, harness, machine, report
from scripts.benchmarks.contest import Bench, Contest, Contestant, Effort, Figure, Goal, Suite, seconds
from scripts.benchmarks.harness import Result, Round, Spread

MORE = Figure("more", "s")
STEP = Figure("step", "s", goal=Goal(at_most=1.03))


class Scripted:
    """A contestant that reports given values, one a round, and signs a log at each turn."""

    def __init__(self, name: str, values: list[float], log: list[str]) -> None:
        self.name, self.values, self.log = name, iter(values), log

    def __call__(self) -> Mapping[str, float]:
        self.log.append(self.name)
        return {"step": next(self.values)}


def bench(ours: Contestant, peers: Mapping[str, Contestant], *, warmup_rounds: int = 0, figure: Figure = STEP) -> Bench:
    @contextmanager
    def contest(_effort: Effort) -> Iterator[Contest]:
        yield Contest(ours=ours, peers=peers)

    return Bench(figures=(figure,), contest=contest, warmup_rounds=warmup_rounds)


def run_quietly(declared: Bench) -> list[Result]:
    return harness.run(declared, Effort.QUICK, lambda _number, _num_rounds, _figures: None)


def test_everybody_has_one_turn_a_round_and_the_first_turn_goes_round() -> None:
    log: list[str] = []
    ours = Scripted("ours", [1.0] * 3, log)
    run_quietly(bench(ours, {"a": Scripted("a", [1.0] * 3, log), "b": Scripted("b", [1.0] * 3, log)}))
    assert log == ["ours", "a", "b", "a", "b", "ours", "b", "ours", "a"]


def test_warm_up_is_discarded() -> None:
    log: list[str] = []
    ours, peer = Scripted("ours", [900.0, 1, 2, 3], log), Scripted("peer", [0.001, 2, 4, 6], log)
    [result] = run_quietly(bench(ours, {"peer": peer}, warmup_rounds=1))
    assert result.ours == Spread(2.0, 1.0)
    assert result.peer == Spread(4.0, 2.0)
    assert len(log) == 8


def test_the_ratio_is_the_median_over_the_rounds() -> None:
    """A machine that slows down tenfold in the last round changes no ratio."""
    [result] = run_quietly(bench(Scripted("", [1.0, 1.1, 10.5], []), {"peer": Scripted("", [1.0, 1.0, 10.0], [])}))
    assert result.ratio is not None
    assert result.ratio.median == 1.05
    assert result.met() is False


def test_one_row_per_peer() -> None:
    peers = {"a": Scripted("", [2.0] * 3, []), "b": Scripted("", [4.0] * 3, [])}
    results = run_quietly(bench(Scripted("", [1.0] * 3, []), peers))
    assert [(result.peer_name, result.ratio) for result in results] == [("a", Spread(0.5, 0)), ("b", Spread(0.25, 0))]


@pytest.mark.parametrize(
    ("goal", "text", "met"),
    [
        (Goal(at_most=1.03), "<= 1.03", None),
        (Goal(at_least=2), ">= 2", None),
        (Goal(at_most=1.5, of="ours"), "<= 1.5 s", True),
        (Goal(at_least=1.5, of="ours"), ">= 1.5 s", False),
    ],
)
def test_without_a_peer_only_absolute_goals_are_judged(goal: Goal, text: str, *, met: bool | None) -> None:
    [result] = run_quietly(bench(Scripted("", [1.0] * 3, []), {}, figure=Figure("step", "s", goal=goal)))
    assert goal.text("s") == text
    assert result.met() is met
    assert (result.peer, result.peer_name, result.ratio) == (None, None, None)


@pytest.mark.parametrize("bounds", [{}, {"at_most": 1.0, "at_least": 1.0}])
def test_a_goal_has_one_bound(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Goal(**bounds)  # type: ignore[arg-type]


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=20))
def test_the_median_lies_between_extremes_and_the_spread_is_not_wider(values: list[float]) -> None:
    found = harness.spread(values)
    assert min(values) <= found.median <= max(values)
    assert 0 <= found.iqr <= max(values) - min(values) + 1e-9


def test_seconds_measures_by_the_clock() -> None:
    now_s = iter([10.0, 12.5])
    assert seconds("copy", lambda: None, clock=lambda: next(now_s))() == {"copy": 2.5}


def test_a_contestant_that_raises_is_named() -> None:
    def ours() -> Mapping[str, float]:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space") as caught:
        run_quietly(bench(ours, {}, warmup_rounds=1))
    assert caught.value.__notes__ == ["in warm-up round 1 of contestant 'ours'"]


@pytest.mark.parametrize("values", [{}, {"step": 1.0, "other": 1.0}, {"step": 0.0}, {"step": float("nan")}])
def test_figures_are_checked(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"figures|step = "):
        run_quietly(bench(lambda: values, {}))


def test_a_peer_may_report_some_of_the_figures() -> None:
    both = replace(bench(lambda: {"step": 2.0, "more": 3.0}, {"peer": lambda: {"more": 6.0}}), figures=(STEP, MORE))
    assert [(each.peer_name, each.ratio) for each in run_quietly(both)] == [(None, None), ("peer", Spread(0.5, 0.0))]
    for wrong in ({}, {"more": 6.0, "other": 1.0}):
        with pytest.raises(ValueError, match="figures"):
            run_quietly(bench(lambda: {"step": 2.0}, {"peer": lambda wrong=wrong: wrong}))


def test_a_peer_may_not_be_called_ours() -> None:
    with pytest.raises(ValueError, match="'ours'"):
        run_quietly(bench(lambda: {"step": 1.0}, {"ours": lambda: {"step": 1.0}}))


def test_a_count_of_what_should_not_happen_may_be_zero_and_has_no_ratio() -> None:
    lost = Figure("step", "jobs", Goal(at_most=0, of="ours"), may_be_zero=True)
    [result] = run_quietly(bench(lambda: {"step": 0.0}, {"a": lambda: {"step": 5.0}}, figure=lost))
    assert (result.ours, result.ratio, result.met()) == (Spread(0.0, 0.0), None, True)


def test_what_is_absent_or_left_out_is_in_the_table_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    other = Figure("other", "s", goal=Goal(at_most=1.0, of="ours"))

    @contextmanager
    def contest(_effort: Effort) -> Iterator[Contest]:
        yield Contest(ours=lambda: {"step": 1.0}, absent={"slurm": "not installed"}, left_out={"other": "no trace"})

    results = run_quietly(Bench(figures=(STEP, other), contest=contest))
    assert [(r.ours, r.peer, r.met(), r.note) for r in results] == [
        (Spread(1.0, 0.0), None, None, "slurm: not installed"),
        (None, None, None, "no trace"),
    ]
    described: dict[str, str | int | float] = {"cpu": "x", "cores": 1, "memory_bytes": 1, "load_1min": 0, "system": "y"}
    report.print_table(report.document("b", datetime.now(UTC), described, {}, results), results)
    printed = capsys.readouterr().out
    assert "without a peer: slurm: not installed" in printed
    assert "not measured (other): no trace" in printed


def test_nobody_runs_when_everything_is_left_out() -> None:
    @contextmanager
    def contest(_effort: Effort) -> Iterator[Contest]:
        yield Contest(ours=lambda: pytest.fail("it ran"), left_out={"step": "no trace"})

    [result] = run_quietly(Bench(figures=(STEP,), contest=contest))
    assert result.ours is None


def test_the_document_has_exactly_the_promised_keys() -> None:
    results = [Result(STEP, Spread(1.02, 0.1), Spread(1.0, 0.1), "torchrun", Spread(1.02, 0.01))]
    date = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    document = report.document("overhead", date, {"cores": 2}, {"python": "3.11.2"}, results)
    assert json.loads(json.dumps(document)) == {
        "bench": "overhead",
        "date": "2026-11-21T12:00:00+00:00",
        "machine": {"cores": 2},
        "versions": {"python": "3.11.2"},
        "rows": [
            {
                "figure": "step", "unit": "s", "ours": 1.02, "peer": 1.0, "peer_name": "torchrun",
                "ratio": 1.02, "goal": "<= 1.03", "met": True, "note": None,
            }
        ],
    }  # fmt: skip


def test_the_machine_is_described() -> None:
    described = machine.describe_machine()
    assert described.keys() == {"cpu", "cores", "memory_bytes", "load_1min", "system"}
    assert int(described["cores"]) >= 1
    found = machine.versions(("a-distribution-that-is-not-there",))
    assert found["a-distribution-that-is-not-there"] is None
    assert found["python"] == platform.python_version()


DECLARATION = '''"""Copying, beside copying.

More about it.
"""
from contextlib import contextmanager
from scripts.benchmarks.contest import Bench, Contest, Figure, Goal, seconds

@contextmanager
def contest(effort):
    yield Contest(ours=lambda: {"copy": 1.0}, peers={"same": lambda: {"copy": 1.0}})

BENCH = Bench(figures=(Figure("copy", "s", goal=Goal(at_most=1.0)),), contest=contest)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one benchmark, which the command takes for its own."""
    (tmp_path / "copying.py").write_text(DECLARATION)
    (tmp_path / "no_benchmark.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.setattr(command, "__file__", str(tmp_path / "__main__.py"))
    monkeypatch.setattr("scripts.benchmarks.__path__", [str(tmp_path)])
    return tmp_path


SUITE = '''"""Two parts, and one that kills."""
from contextlib import contextmanager
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Suite

def part(name):
    @contextmanager
    def contest(effort):
        yield Contest(ours=lambda: {name: 1.0})

    return Bench(figures=(Figure(name, "s"),), contest=contest, rounds=dict.fromkeys(Effort, 1))

BENCH = Suite(parts={"first": part("first"), "second": part("second")}, chaos={"kills": part("kills")})
'''


@pytest.mark.parametrize(
    ("words", "figures"),
    [
        ([], ["first", "second"]),
        (["--chaos"], ["first", "second", "kills"]),
        (["--part", "second"], ["second"]),
        (["--chaos", "--part", "kills"], ["kills"]),
    ],
)
def test_a_suite_runs_its_parts_and_kills_only_when_asked(folder: Path, words: list[str], figures: list[str]) -> None:
    (folder / "copying_two_bench.py").write_text(SUITE)
    kept = folder / "kept.json"
    assert command.main(["copying_two", "--quick", "--json", str(kept), *words]) == 0
    assert [row["figure"] for row in json.loads(kept.read_text())["rows"]] == figures
    assert command.main(["copying_two", "--part", "third"]) == command.UNKNOWN_NAME


def test_the_queue_has_goals_and_kills_only_when_asked() -> None:
    suite = discovery.load("queue")
    assert isinstance(suite, Suite)
    assert set(suite.chaos) == {"kills"}
    figures = [figure for part in (*suite.parts.values(), *suite.chaos.values()) for figure in part.figures]
    assert len({figure.name for figure in figures}) == len(figures)
    assert sum(figure.goal is not None for figure in figures) > 20


def test_discovery_reads_titles_without_importing(folder: Path) -> None:
    assert discovery.titles(folder) == {"copying": "Copying, beside copying."}


@pytest.mark.usefixtures("folder")
def test_the_command_lists_and_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    assert capsys.readouterr().out == "  copying  Copying, beside copying.\n"
    assert command.main(["overhead"]) == command.UNKNOWN_NAME
    assert capsys.readouterr().err == (
        "bench: no benchmark is called 'overhead'; there are:\n  copying  Copying, beside copying.\n"
    )


def test_the_command_runs_prints_and_keeps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = folder / "copying.json"
    assert command.main(["copying", "--quick", "--json", str(kept)]) == 0
    [row] = json.loads(kept.read_text())["rows"]
    assert (row["ratio"], row["goal"], row["met"]) == (1.0, "<= 1", True)
    captured = capsys.readouterr()
    assert "1 ± 0" in captured.out
    assert captured.err.splitlines()[-1] == "round 3 of 3: ours: copy 1; same: copy 1"


@pytest.mark.usefixtures("folder")
def test_a_missing_folder_is_noticed_before_the_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["copying", "--json", "nowhere/results.json"])
    captured = capsys.readouterr()
    assert "there is no folder" in captured.err
    assert "round" not in captured.err


def test_progress_is_told_after_each_measured_round() -> None:
    told: list[tuple[int, int, Round]] = []
    harness.run(
        bench(lambda: {"step": 1.0}, {}, warmup_rounds=2),
        Effort.QUICK,
        lambda number, num_rounds, figures: told.append((number, num_rounds, figures)),
    )
    assert told == [(number, 3, {"ours": {"step": 1.0}}) for number in (1, 2, 3)]
