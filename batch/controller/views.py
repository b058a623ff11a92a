"""Jobs, sweeps and the rest as the API shows them: JSON objects, credentials masked."""

from dataclasses import asdict
from typing import Any

from batch.credentials import redacted
from batch.events import Event, JobSubmitted, SweepSubmitted
from batch.ids import id_of
from batch.json_values import to_json
from batch.model import JobSpec, Pool, Team
from batch.records import Attempt, Job, Sweep, Token


def job_row(job: Job) -> dict[str, Any]:
    """Return what a list of jobs shows of one."""
    spec = job.spec
    return {
        "uid": job.uid,
        "id": job.id,
        "name": spec.name,
        "state": job.state.text,
        "then": job.then,
        "kind": spec.kind,
        "team": spec.team,
        "user": spec.user,
        "tier": spec.tier.value,
        "recipe": spec.recipe,
        "nodes_wanted": spec.shape.nodes,
        "gpus": spec.shape.gpus,
        "cpus": spec.shape.cpus,
        "chips": spec.shape.chips,
        "pool": job.pool,
        "nodes": list(job.nodes),
        "attempt": job.attempt,
        "step": job.step,
        "submitted_s": job.submitted_s,
        "started_s": job.started_s,
        "changed_s": job.changed_s,
        "ended_s": job.ended_s,
        "saved_s": job.saved_s,
        "exit_code": job.exit_code,
        "cause": job.cause.value if job.cause else None,
        "message": job.message,
        "metrics": dict(job.metrics),
        "overrides": list(job.overrides),
    }


def job_page(job: Job, attempts: list[Attempt]) -> dict[str, Any]:
    """Return all there is about one job."""
    return {
        **job_row(job),
        "sweep": None if job.sweep is None else id_of(job.sweep),
        "eligible_s": job.eligible_s,
        "spec": spec_object(job.spec),
        "attempts": [attempt_row(one) for one in attempts],
    }


def spec_object(spec: JobSpec) -> dict[str, Any]:
    """Return a specification as it would be submitted; fields at their default are left out."""
    found = redacted(to_json(spec))
    assert isinstance(found, dict)
    return found


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    """Return one attempt."""
    return {
        **asdict(attempt),
        "nodes": list(attempt.nodes),
        "cause": attempt.cause.value if attempt.cause else None,
        "metrics": dict(attempt.metrics),
    }


def sweep_page(sweep: Sweep) -> dict[str, Any]:
    """Return one sweep."""
    template = sweep.spec.template
    return {
        "uid": sweep.uid,
        "id": sweep.id,
        "first_uid": sweep.first_uid,
        "members": len(sweep.spec),
        "name": template.name,
        "team": template.team,
        "user": template.user,
        "tier": template.tier.value,
        "axes": [[key, list(values)] for key, values in sweep.spec.axes],
        "max_running": sweep.spec.max_running,
        "stop_if_failed": sweep.spec.stop_if_failed,
        "submitted_s": sweep.submitted_s,
        "counts": {state.text: count for state, count in sweep.counts.items()},
    }


def event_object(seq: int, event: Event) -> dict[str, Any]:
    """Return a row of the journal. What a submission says is with its job."""
    if isinstance(event, JobSubmitted | SweepSubmitted):
        found: dict[str, Any] = {"time_s": event.time_s, "uid": event.uid}
    else:
        found = to_json(event)
    if "uid" in found:
        found["id"] = id_of(found["uid"])
    return {"seq": seq, "event": type(event).__name__, **found}


def team_row(team: Team) -> dict[str, Any]:
    """Return one team."""
    return asdict(team)


def pool_row(pool: Pool, jobs: int, silent_s: float, trouble: str) -> dict[str, Any]:
    """Return one pool with the number of jobs that are placed in it, and how its agent is."""
    return {
        "name": pool.name,
        "drained": pool.drained,
        "jobs": jobs,
        "silent_s": silent_s,
        "trouble": trouble,
        "nodes": [{**asdict(node), "labels": dict(node.labels)} for node in pool.nodes],
    }


def token_row(token: Token) -> dict[str, Any]:
    """Return one token, without its digest."""
    return {
        "name": token.name,
        "role": token.role,
        "team": token.team,
        "created_s": token.created_s,
        "expires_s": token.expires_s,
    }
