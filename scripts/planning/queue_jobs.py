"""Rungs as jobs of the queue, and what has become of them."""

import json
import math
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from batch.client import Client
from planner.errors import LedgerError
from planner.forecasts.ledger import Head
from planner.forecasts.ledger_entries import Forecast, Outcome, Result
from planner.loop.study import Study, StudyRun
from scripts.planning.foretell import Foretold
from scripts.planning.rungs import Rung

_OVER = frozenset({"succeeded", "failed", "cancelled"})
LOSS_METRIC = "heldout/nats_per_byte"
MEMORY_METRIC = "run/peak_memory_bytes"
LEDGER_HEAD = "ledger_head"
"""In the payload of a planned job: the head of its study's ledger when that held the forecast of the run."""
_DIVERGED = re.compile(r"NonFiniteLossError|loss = (nan|inf)|gradient norm = (nan|inf)")
_JOBS_FILE = "jobs.json"


def submit(
    client: Client, study: Study, foretold: Sequence[Foretold], job_of: Callable[[Rung, Head], dict[str, Any]]
) -> dict[str, str]:
    """Write the forecasts into the ledger, then submit the runs; return the job's id of each run.

    A run is known by its configuration: what is forecast or submitted already is left as it is, so calling again after
    an interruption completes what is missing. `job_of` makes the job of a rung as the queue takes it, which carries the
    head of the ledger at the run's forecast.
    """
    jobs = _jobs(study)
    known = {entry.body.run for entry in study.ledger.entries()}
    for one in foretold:
        if one.rung.run.run not in known:
            study.ledger.record_forecast(one.forecast)
    heads = _forecast_heads(study)
    for one in foretold:
        run = one.rung.run.run
        if run not in jobs:
            [made] = client.submit([job_of(one.rung, heads[run])], key=f"plan-{study.folder.name}-{run}")
            jobs[run] = _keep_job(study, run, str(made["id"]))
    return {one.rung.run.run: jobs[one.rung.run.run] for one in foretold}


@dataclass(frozen=True, slots=True)
class Collected:
    """What `collect` found: how many runs are over since the last time, and how many still wait or train."""

    over: int
    going: int


def has_jobs(study: Study) -> bool:
    """Return whether any run of the study was submitted."""
    return bool(_jobs(study))


def collect(client: Client, study: Study) -> Collected:
    """Take in what the queue says of the study's jobs that are over: runs, and results in the ledger.

    A run whose result is in the table of runs and not in the ledger is taken in again. Raises LedgerError where the
    ledger lacks what the queue's jobs say it had.
    """
    jobs = _jobs(study)
    entries = study.ledger.entries()
    forecasts = {entry.body.run: entry.body.facts for entry in entries if isinstance(entry.body, Forecast)}
    final = {
        entry.body.run for entry in entries if isinstance(entry.body, Result) and entry.body.outcome is Outcome.FINISHED
    }
    taken = {run.run for run in study.runs() if run.is_evidence} & final
    if jobs:
        newest = next(reversed(jobs))  # its head is the farthest
        _expect_head(study, newest, client.job(jobs[newest]), forecasts)
    over: list[StudyRun] = []
    going = 0
    for run, job_id in jobs.items():
        if run in taken:
            continue
        job = client.job(job_id)
        _expect_head(study, run, job, forecasts)
        if job["state"] not in _OVER:  # one that was preempted has ended too, and will go on
            going += 1
            continue
        ended = _ended(run, forecasts[run], job)
        study.ledger.record_result(_result(ended, job))
        over.append(ended)
    return Collected(max(study.add(over), len({run.run for run in over if run.is_evidence} - final)), going)


def _expect_head(study: Study, run: str, job: Mapping[str, Any], forecasts: Container[str]) -> None:
    noted = job["spec"]["payload"].get(LEDGER_HEAD)
    if noted is not None:
        study.ledger.expect(Head.parse(noted))
    if run not in forecasts:
        raise LedgerError(
            f"{study.ledger.path}: the forecast of {run} is missing, which was sent to the queue as job {job['id']}: "
            "the ledger was cut; restore it from a copy"
        )


def _forecast_heads(study: Study) -> dict[str, Head]:
    """Return of each run the head of the ledger when its forecast was the last entry."""
    heads: dict[str, Head] = {}
    for entry in study.ledger.entries():
        if isinstance(entry.body, Forecast):
            heads.setdefault(entry.body.run, Head(entry.number + 1, entry.hash))
    return heads


def _ended(run: str, facts: Mapping[str, Any], job: Mapping[str, Any]) -> StudyRun:
    metrics = job["metrics"]
    loss = metrics.get(LOSS_METRIC)
    outcome = Outcome.FAILED
    if job["state"] == "succeeded" and loss is not None and math.isfinite(loss):
        outcome = Outcome.FINISHED
    elif job["state"] == "succeeded" or _DIVERGED.search(job["message"] or ""):
        outcome = Outcome.DIVERGED
    is_finished = outcome is Outcome.FINISHED
    words = dict(word.split("=", 1) for word in facts["overrides"])
    return StudyRun(
        run=run, params=facts["params"], tokens=facts["tokens"], flops=facts["flops"], group=facts["group"],
        seed=facts["seed"], steps=int(words["run.steps"]), outcome=outcome, loss=loss if is_finished else None,
        time_s=_seconds(job) if is_finished else None,
        memory_bytes=metrics.get(MEMORY_METRIC),
    )  # fmt: skip


def _seconds(job: Mapping[str, Any]) -> float | None:
    """Return how long the last attempt took; None where the clock was set back on the way."""
    seconds = (job["ended_s"] or 0.0) - (job["started_s"] or math.inf)
    return seconds if seconds > 0.0 else None


def _result(run: StudyRun, job: Mapping[str, Any]) -> Result:
    measured = {"loss": run.loss, "time_s": run.time_s, "memory_bytes": run.memory_bytes}
    starts = [attempt["started_s"] for attempt in job["attempts"] if attempt.get("started_s")]
    facts = {"job": job["id"], "attempts": job["attempt"], "message": job["message"]}
    return Result(
        run=run.run,
        outcome=run.outcome,
        measured={name: value for name, value in measured.items() if value is not None},
        started=datetime.fromtimestamp(min(starts), UTC) if starts else None,
        facts={name: value for name, value in facts.items() if value is not None},
    )


def _jobs(study: Study) -> dict[str, str]:
    try:
        jobs: dict[str, str] = json.loads((study.folder / _JOBS_FILE).read_text())
    except FileNotFoundError:
        return {}
    return jobs


def _keep_job(study: Study, run: str, job_id: str) -> str:
    """Add a job to those of the study, as they are now: another process may be submitting runs of it too."""
    with study.locked():
        jobs = {**_jobs(study), run: job_id}
        partial = study.folder / f"{_JOBS_FILE}.partial"
        partial.write_text(json.dumps(jobs, indent=1))
        partial.replace(study.folder / _JOBS_FILE)
    return job_id
