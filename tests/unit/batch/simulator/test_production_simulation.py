"""The production policy under the virtual clock: it is the scheduler's own `decide`, told the truth in time."""

import numpy as np
import pytest
from fixtures_traces import trace_of, traces
from hypothesis import given, settings, strategies as st

from batch import events
from batch.errors import ImpossibleShapeError
from batch.simulator import Cluster, Physics, Trace, redecide, report_of, simulate
from batch.simulator.production import run_production


@settings(max_examples=8, deadline=None)
@given(trace=traces(), cluster=st.sampled_from([Cluster.counted(8), Cluster.counted(13), Cluster.of("3x4")]))
def test_all_jobs_finish_and_every_chip_second_is_accounted_for(trace: Trace, cluster: Cluster) -> None:
    outcome = simulate(trace, cluster)
    assert (outcome.finish_s >= trace.submit_s + trace.duration_s - 1e-6).all()
    spans = outcome.spans
    assert (spans.used_chip_s.sum(axis=1) <= cluster.chips * spans.length_s + 1e-6).all()
    work = trace.work_chip_s + outcome.restart_chip_s + outcome.unsaved_chip_s
    assert spans.used_chip_s.sum() == pytest.approx(work)
    assert (np.diff(spans.start_s) > 0).all()


@settings(max_examples=5, deadline=None)
@given(trace=traces())
def test_the_same_trace_gives_the_same_decisions(trace: Trace) -> None:
    first, second = (simulate(trace, Cluster.counted(8)) for _ in range(2))
    assert first.finish_s.tolist() == second.finish_s.tolist()
    assert first.first_start_s.tolist() == second.first_start_s.tolist()


@settings(max_examples=5, deadline=None)
@given(trace=traces())
def test_writing_a_journal_changes_nothing(trace: Trace) -> None:
    told = run_production(trace, Cluster.of("3x4"), Physics(), journal=[])
    assert told.finish_s.tolist() == simulate(trace, Cluster.of("3x4")).finish_s.tolist()


@settings(max_examples=8, deadline=None)
@given(trace=traces(), until_s=st.integers(600, 4 * 3600), longer_s=st.integers(1, 7200))
def test_no_decision_depends_on_how_long_jobs_will_run(trace: Trace, until_s: int, longer_s: int) -> None:
    told = simulate(trace, Cluster.counted(8))
    unfinished = told.finish_s > until_s
    other = Trace(
        start_s=trace.start_s,
        window_s=trace.window_s,
        submit_s=trace.submit_s,
        duration_s=trace.duration_s + np.where(unfinished, longer_s, 0),
        chips=trace.chips,
        team=trace.team,
        teams=trace.teams,
    )
    changed = simulate(other, Cluster.counted(8))
    early = told.first_start_s < until_s - 60.0
    assert changed.first_start_s[early].tolist() == told.first_start_s[early].tolist()
    assert (changed.first_start_s[~early] >= until_s - 60.0).all()


def test_short_jobs_go_before_long_ones_once_lengths_are_learned() -> None:
    rows = [(60.0 * number, 60.0, 1, "short") for number in range(300)]
    rows += [(60.0 * number, 36000.0, 1, "long") for number in range(0, 300, 30)]
    report = report_of(simulate(trace_of(rows), Cluster.counted(3)))
    by_team = {group.name: group for group in report.by_team}
    assert by_team["short"].mean_delay_h < 0.1 < by_team["long"].mean_delay_h


def test_gangs_lie_on_as_few_nodes_as_they_can() -> None:
    cluster = Cluster.of("4x8")
    shapes = {gang: cluster.shape(gang) for gang in (1, 8, 12, 16, 32)}
    assert {gang: (shape.nodes, shape.gpus) for gang, shape in shapes.items()} == {
        1: (1, 1), 8: (1, 8), 12: (2, 6), 16: (2, 8), 32: (4, 8),
    }  # fmt: skip
    with pytest.raises(ImpossibleShapeError, match=r"a gang of 33 chips: must be at most 32 \(4 x 8\)"):
        cluster.shape(33)


def test_nodes_hold_what_fits_on_them_and_no_more() -> None:
    trace = trace_of([(0.0, 600.0, 3, "a"), (0.0, 600.0, 3, "a"), (60.0, 600.0, 2, "a")])
    counted = simulate(trace, Cluster.counted(8), physics=Physics())
    on_nodes = simulate(trace, Cluster.of("2x4"), physics=Physics())
    assert counted.first_start_s.tolist() == [0.0, 0.0, 60.0]
    assert on_nodes.first_start_s.tolist() == [0.0, 0.0, 600.0]


def test_a_trace_without_dates_is_simulated_too() -> None:
    rows = [(0.0, 60.0, 1, "a"), (0.0, 60.0, 1, "a")]
    trace = Trace.of(rows, 0.0)
    assert simulate(trace, Cluster.counted(1)).finish_s.tolist() == [60.0, 120.0]


@settings(max_examples=8, deadline=None)
@given(trace=traces(), cluster=st.sampled_from([Cluster.counted(8), Cluster.of("3x4")]))
def test_a_journal_decided_again_comes_out_the_same(trace: Trace, cluster: Cluster) -> None:
    journal: list[events.Event] = []
    outcome = run_production(trace, cluster, Physics(), journal=journal)
    count, divergences = redecide(enumerate(journal, 1))
    assert divergences == ()
    assert count >= len(np.unique(outcome.first_start_s))


def test_a_decision_that_came_out_otherwise_is_shown() -> None:
    journal: list[events.Event] = []
    run_production(trace_of([(0.0, 60.0, 1, "a"), (0.0, 60.0, 1, "b")]), Cluster.of("2x1"), Physics(), journal=journal)
    placed = next(number for number, event in enumerate(journal) if isinstance(event, events.JobPlaced))
    del journal[placed + 1]  # the second placement
    count, (divergence,) = redecide(enumerate(journal[: placed + 1], 1))
    assert count == 1
    assert (len(divergence.then), len(divergence.now)) == (1, 2)
