"""Why a job has no place: the constraint that binds, in numbers. Codes are stable; texts are for people."""

from collections.abc import Collection

import numpy as np

from batch.ids import id_of
from batch.scheduler.actions import Reason
from batch.scheduler.draft import Draft
from batch.scheduler.jobs import JobRecord
from batch.scheduler.profiles import Profile

_NAMED = 3
CODES = {
    "running": "it has a place",
    "ended": "it is over",
    "held": "a person holds it",
    "dependency": "it waits for other jobs",
    "dependency_failed": "what it depends on has failed, so it can never start",
    "not_before": "its time has not come",
    "breaker": "too many members of its sweep failed",
    "sweep_limit": "its sweep runs as many members as it may",
    "quota": "its team's quota is used up",
    "compute_reservation": "the rest is kept for teams that are not active",
    "impossible": "no pool could hold it even if it were empty",
    "drained": "the pools that could hold it take no new jobs",
    "making_room": "others are saving and stopping for it",
    "reserved": "what is free is held for gangs that come before it",
    "fragmented": "enough is free, but not enough on each node",
    "chips": "not enough is free",
    "next": "it starts with the next decision",
}


def reason_of(draft: Draft, job: JobRecord) -> Reason:
    """Return what keeps the job from starting after the decision `draft`."""
    state = draft.state
    if job.placement is not None:
        return Reason("running", f"runs on {len(job.placement.nodes)} nodes of {state.pools[job.placement.pool].name}")
    if job.outcome is not None:
        return Reason("ended", job.outcome)
    barred = _not_eligible(draft, job) or _forbidden(draft, job)
    return barred or _making_room(draft, job) or _no_room(draft, job.profile)


def _named(uids: Collection[int]) -> str:
    """Return the ids of the first few."""
    names = [id_of(uid) for uid in sorted(uids)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _not_eligible(draft: Draft, job: JobRecord) -> Reason | None:
    if job.held:
        return Reason("held", "held: release it to let it start")
    if job.unmet:
        failed = [d.uid for d in job.spec.after if d.uid in job.unmet and draft.state.roster.has_failed(d)]
        if failed:
            text = f"what it waits for has failed: {_named(failed)}"
            return Reason("dependency_failed", text, len(job.unmet), 0, "jobs")
        text = f"waits for {len(job.unmet)} jobs or sweeps: {_named(job.unmet)}"
        return Reason("dependency", text, len(job.unmet), 0, "jobs")
    if job.eligible_s > draft.now_s:
        wait_s = job.eligible_s - draft.now_s
        return Reason("not_before", f"may start in {wait_s:.0f} s", wait_s, 0, "s")
    return None


def _forbidden(draft: Draft, job: JobRecord) -> Reason | None:
    state, chips = draft.state, job.profile.chips
    if not state.hosts.table[job.profile.number].any():
        return _no_host(draft, job)
    code = draft.refused(job)
    if code == "quota":
        team = state.shares.teams[job.team]
        used = draft.used_by(job.team)
        left = (team.quota or 0) - used
        return Reason(code, f"{team.name} uses {used:.0f} of its quota of {team.quota} chips", chips, left, "chips")
    if code in {"sweep_limit", "breaker"}:
        sweep = job.sweep
        assert sweep is not None
        if code == "breaker":
            return Reason(code, f"{sweep.failed} of {sweep.ended} members failed", sweep.failed, sweep.ended, "jobs")
        return Reason(code, f"{draft.members_running(sweep)} members run, {sweep.max_running} may", 1, 0, "jobs")
    return Reason(code, CODES[code], chips, 0, "chips") if code else None


def _no_host(draft: Draft, job: JobRecord) -> Reason:
    pools, shape = draft.state.pools, job.profile.shape
    named = [pool for pool in pools if job.profile.pool in (None, pool.name)]
    drained = [pool.name for pool in named if pool.drained and pool.could_hold(shape)]
    if drained:
        return Reason("drained", f"drained: {', '.join(drained)}")
    most = max((int(pool.admits(shape).sum()) for pool in named), default=0)
    return Reason(
        "impossible",
        f"needs {shape.nodes} nodes of {shape.gpus} accelerators and {shape.cpus} CPUs; no pool has them",
        shape.nodes, most, "nodes",
    )  # fmt: skip


def _making_room(draft: Draft, job: JobRecord) -> Reason | None:
    claim = draft.state.claims.get(job.uid)
    if claim is None or not claim.victims:
        return None
    return Reason("making_room", f"{len(claim.victims)} jobs are saving and stopping for it", job.profile.chips)


def _no_room(draft: Draft, profile: Profile) -> Reason:
    """Return what all jobs of the profile lack; looked up once in a decision."""
    reason = draft.reasons.get(profile.number)
    if reason is None:
        reason = draft.reasons[profile.number] = _lack(draft, profile)
    return reason


def _lack(draft: Draft, profile: Profile) -> Reason:
    state, shape, kind = draft.state, profile.shape, profile.kind
    free = 0
    fits_with_held = False
    for pool in state.hosts.pools(profile.number):
        gpus, cpus = draft.free_gpus[pool], draft.free_cpus[pool]
        if state.pools[pool].find(shape, gpus, cpus) is not None:
            return Reason("next", CODES["next"], profile.chips, profile.chips, "chips")
        gpus, cpus = gpus + draft.held_gpus[pool], cpus + draft.held_cpus[pool]
        here = (gpus if kind == 0 else cpus)[state.pools[pool].admits(shape)]
        free = max(free, int(np.maximum(0, here).sum()))
        fits_with_held |= state.pools[pool].find(shape, gpus, cpus) is not None
    if fits_with_held:
        return Reason("reserved", "what it needs is held for gangs before it", profile.chips, free, "chips")
    wants = f"wants {shape.nodes} x {shape.gpus or shape.cpus} chips"
    if free >= profile.chips:
        return Reason("fragmented", f"{wants}; what is free is scattered", profile.chips, free, "chips")
    return Reason("chips", f"{wants}, more than its best pool has free", profile.chips, free, "chips")
