"""A live journal becomes a trace."""

from pathlib import Path

from batch import events
from batch.model import Cause, JobSpec, Shape, SweepSpec
from batch.simulator import TraceFormat, read_trace, rows_of, write_trace

SPEC = JobSpec(kind="command", payload={}, shape=Shape(nodes=2, gpus=4), team="vision")


def ran(uid: int, start_s: float, end_s: float, state: str = "succeeded") -> list[events.Event]:
    return [
        events.JobStarted(time_s=start_s, uid=uid, attempt=1),
        events.JobEnded(time_s=end_s, uid=uid, state=state, attempt=1),
    ]


def test_run_times_add_up_over_attempts(tmp_path: Path) -> None:
    journal = [
        events.JobSubmitted(time_s=100.0, uid=1, spec=SPEC),
        events.JobStarted(time_s=110.0, uid=1, attempt=1),
        events.JobStopped(time_s=150.0, uid=1, attempt=1, cause=Cause.PREEMPTION, then="queued", eligible_s=150.0),
        *ran(1, 200.0, 260.0),
    ]
    path = tmp_path / "trace.csv"
    assert write_trace(rows_of(journal), path) == 1
    trace = read_trace(path, TraceFormat.OSTINATO)
    assert (trace.submit_s.tolist(), trace.duration_s.tolist()) == ([100.0], [100.0])
    assert (trace.chips.tolist(), trace.teams) == ([8], ("vision",))


def test_members_of_sweeps_count_and_cancelled_or_unstarted_jobs_do_not() -> None:
    sweep = SweepSpec(template=SPEC, axes=(("seed", ("0", "1", "2")),))
    journal = [
        events.SweepSubmitted(time_s=5.0, uid=9, first_uid=10, spec=sweep),
        *ran(11, 6.0, 7.0, "failed"),
        *ran(12, 6.0, 9.0, "cancelled"),
        events.JobEnded(time_s=9.0, uid=10, state="failed"),
    ]
    assert list(rows_of(journal)) == [(11, 5.0, 1.0, 8, "vision")]
