"""Jobs and sweeps on their way in: what can be said against them without the database, and how they are written.

Preparing is done by the thread that submits, so that the writer's thread has little left to do.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from json.encoder import encode_basestring

from batch import ids, rows
from batch.errors import BadRequestError, ConflictError, LimitError, NotFoundError
from batch.events import JobSubmitted, SweepSubmitted
from batch.json_values import to_json
from batch.ledger import Ledger
from batch.model import Dependency, JobSpec, SweepSpec
from batch.recording import first_state
from batch.spec_checks import check_cycles, check_key, check_size, check_spec, check_sweep, check_text
from batch.states import JobState
from batch.tables import DEPENDENCIES, JOBS

MAX_JOBS = 10_000
"""In one submission."""


@dataclass(frozen=True, slots=True)
class PreparedJobs:
    """Jobs whose specifications are right in themselves, and the texts to be written for each."""

    specs: tuple[JobSpec, ...]
    texts: tuple[tuple[str, str], ...]
    key: str | None
    digest: str

    def write(self, ledger: Ledger) -> list[int]:
        """Write the jobs, in the writer's transaction; returns their uids. Raises as Queue.submit."""
        count, team = len(self.specs), self.specs[0].team
        if self.key is not None and (found := ledger.submission(self.key, team)) is not None:
            digest, first_uid, written = found
            if digest != self.digest:
                raise ConflictError(
                    f"idempotency key {self.key!r} of team {team}: was used for {written} other jobs, from "
                    f"{ids.id_of(first_uid)} on: use another key, or submit what was submitted then"
                )
            return list(range(first_uid, first_uid + written))
        _check_teams(ledger, self.specs)
        _check_dependencies(ledger, self.specs)
        first_uid, time_s = ledger.draw_uids(count), ledger.tick()
        for uid, spec, texts in zip(range(first_uid, first_uid + count), self.specs, self.texts, strict=True):
            _write_job(ledger, uid, spec, texts, time_s, first_uid)
            ledger.add_waiting(spec.team, 1)
        if self.key is not None:
            ledger.add_submission(self.key, team, (self.digest, first_uid, count))
        return list(range(first_uid, first_uid + count))


@dataclass(frozen=True, slots=True)
class PreparedSweep:
    """A sweep whose specification is right in itself, and the text to be written."""

    spec: SweepSpec
    text: str
    digest: str

    def write(self, ledger: Ledger) -> int:
        """Write the sweep, in the writer's transaction; returns its uid. Raises as Queue.submit_sweep."""
        template, count = self.spec.template, len(self.spec)
        known = ledger.sweep_with_key(self.spec.key, template.team)
        if known is not None:
            uid, digest = known
            if digest != self.digest:
                raise ConflictError(
                    f"sweep key {self.spec.key!r} of team {template.team}: sweep {ids.id_of(uid)} has it "
                    "and is another: leave the key empty, or use another"
                )
            return uid
        _check_team(ledger, template, count)
        _check_dependencies(ledger, [template])
        state = first_state(ledger, template)
        uid, time_s = ledger.draw_uids(count + 1), ledger.tick()
        row = {
            "uid": uid, "code": ids.code_of(uid), "first_uid": uid + 1, "count": count, "team": template.team,
            "user": template.user, "name": template.name, "key": self.spec.key, "digest": self.digest,
            "spec": self.text, "submitted_s": time_s, "tier": template.tier.value,
            "time_limit_s": template.time_limit_s, "deadline_s": template.deadline_s,
            "max_running": self.spec.max_running, "state": state.text, "changed_s": time_s, "message": "",
        }  # fmt: skip
        ledger.add_sweep(row)
        _write_dependencies(ledger, uid, template.after)
        ledger.write_event(SweepSubmitted(time_s=time_s, uid=uid, first_uid=uid + 1, spec=self.spec))
        ledger.add_waiting(template.team, count)
        return uid


def prepare_jobs(specs: Sequence[JobSpec], key: str | None) -> PreparedJobs:
    """Check specifications and put them into words. Raises BadRequestError, DependencyCycleError."""
    if not 1 <= len(specs) <= MAX_JOBS:
        raise BadRequestError(f"{len(specs)} jobs in one submission: must be from 1 to {MAX_JOBS}")
    if key is not None:
        check_key(key, specs)
    texts = []
    for index, spec in enumerate(specs):
        where = "job" if len(specs) == 1 else f"job {index} of the submission"
        check_spec(spec, where)
        texts.append(_texts(spec, where))
    if any(spec.after for spec in specs):
        check_cycles(specs)
    return PreparedJobs(tuple(specs), tuple(texts), key, "" if key is None else _digest(specs, texts))


def prepare_sweep(spec: SweepSpec) -> PreparedSweep:
    """Check a sweep and put it into words; an empty key becomes its content's hash. Raises BadRequestError."""
    check_sweep(spec)
    digest = hashlib.sha256(_json(replace(spec, key=""), "sweep").encode()).hexdigest()
    keyed = spec if spec.key else replace(spec, key=digest)
    return PreparedSweep(keyed, _json(keyed, "sweep"), digest)


def _write_job(
    ledger: Ledger, uid: int, spec: JobSpec, texts: tuple[str, str], time_s: float, first_uid: int
) -> None:
    if spec.after and any(dependency.uid < 0 for dependency in spec.after):
        spec = replace(spec, after=tuple(_resolved(dependency, first_uid) for dependency in spec.after))
        texts = rows.spec_texts(spec)
    # What was submitted in the same call has not ended, and the ledger does not know it yet.
    inside = [dependency for dependency in spec.after if dependency.uid >= first_uid]
    state = first_state(ledger, replace(spec, after=()) if inside else spec)
    if inside and not spec.held:
        state = JobState.BLOCKED
    ledger.add_row(
        JOBS,
        {
            "uid": uid, "code": ids.code_of(uid), "sweep": None, "team": spec.team, "user": spec.user,
            "name": spec.name, "spec": texts[0], "payload": texts[1], "submitted_s": time_s, "tier": spec.tier.value,
            "time_limit_s": spec.time_limit_s, "deadline_s": spec.deadline_s, "state": state.text,
            "changed_s": time_s,
        },
    )  # fmt: skip
    if spec.after:
        _write_dependencies(ledger, uid, spec.after)
    ledger.write_event(JobSubmitted(time_s=time_s, uid=uid, spec=spec))


def _resolved(dependency: Dependency, first_uid: int) -> Dependency:
    return dependency if dependency.uid > 0 else replace(dependency, uid=first_uid - dependency.uid - 1)


def _write_dependencies(ledger: Ledger, uid: int, after: Sequence[Dependency]) -> None:
    # Named twice, it must hold in both ways, and "after ok" is the stronger.
    for on_uid, ok in {dependency.uid: dependency.ok for dependency in sorted(after, key=lambda d: d.ok)}.items():
        ledger.add_row(DEPENDENCIES, {"uid": uid, "on_uid": on_uid, "ok": ok})
        ledger.add_awaited(on_uid)


def _check_teams(ledger: Ledger, specs: Sequence[JobSpec]) -> None:
    if len(specs) == 1:
        _check_team(ledger, specs[0], 1)
        return
    counts = Counter(spec.team for spec in specs)
    largest = {spec.team: spec for spec in sorted(specs, key=lambda spec: spec.shape.chips)}
    for name, count in counts.items():
        _check_team(ledger, largest[name], count)


def _check_team(ledger: Ledger, spec: JobSpec, count: int) -> None:
    team = ledger.team(spec.team)
    if team.quota is not None and spec.shape.chips > team.quota:
        raise LimitError(
            f"team {team.name}: its quota is {team.quota}, the job needs {spec.shape.chips}, so that it could never "
            f"start: ask for less, or have the quota raised with `ostinato team set {team.name} --quota N`"
        )
    if team.max_queued is not None:
        waiting = ledger.num_waiting(team.name)
        if waiting + count > team.max_queued:
            raise LimitError(
                f"team {team.name}: {waiting} of its jobs wait and {count} are submitted: at most {team.max_queued} "
                f"may wait: try later, or cancel some"
            )


def _check_dependencies(ledger: Ledger, specs: Sequence[JobSpec]) -> None:
    wanted = {dependency.uid for spec in specs for dependency in spec.after if dependency.uid > 0}
    if not wanted:
        return
    if any(ledger.is_sweep(uid) for uid in wanted):
        ledger.flush()
    ledger.fetch(wanted)
    for uid in sorted(wanted):
        try:
            ledger.sweep(uid) if ledger.is_sweep(uid) else ledger.job(uid)
        except NotFoundError:
            raise NotFoundError(f"after: {uid} is no job or sweep: depend on what was submitted before") from None


def _texts(spec: JobSpec, where: str) -> tuple[str, str]:
    try:
        texts = rows.spec_texts(spec)
        check_text(*texts, spec.name)
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"{where}: name or payload is not JSON: {error}") from error
    check_size(texts, where)
    return texts


def _json(spec: SweepSpec, where: str) -> str:
    try:
        text = rows.STRICT_JSON.encode(to_json(spec))
        check_text(text)
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"{where}: payload is not JSON: {error}") from error
    check_size((text,), where)
    return text


def _digest(specs: Sequence[JobSpec], texts: Sequence[tuple[str, str]]) -> str:
    """Return the hash of what is submitted: of the JSON of a list that has name, spec and payload of each job."""
    content = ",".join(
        f"[{encode_basestring(spec.name)},{encode_basestring(shared)},{encode_basestring(payload)}]"
        for spec, (shared, payload) in zip(specs, texts, strict=True)
    )
    return hashlib.sha256(f"[{content}]".encode()).hexdigest()
