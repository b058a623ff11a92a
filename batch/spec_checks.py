"""What can be said against a specification without looking at anything else. Pure."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from batch.errors import BadRequestError, DependencyCycleError
from batch.ids import MAX_UID
from batch.model import JobSpec, SweepSpec

SPEC_LIMIT_BYTES = 4 * 2**20
"""The largest specification of a job or a sweep, as JSON. Code and data travel by reference."""
MAX_MEMBERS = 1_000_000
MAX_COUNT = 1_000_000
"""Nodes of a job, and accelerators or CPUs of a node: beyond what there is, and their products can be counted with."""
MAX_TIME_S = 253_402_300_799
"""The end of the year 9999, in epoch seconds: calendars, ours among them, go no further."""
MAX_NAME = 200
"""Characters of a name, and of an idempotency key."""


def check_spec(spec: JobSpec, where: str) -> None:
    """Raise BadRequestError for numbers that cannot be meant."""
    shape = spec.shape
    lowest = {"shape.nodes": (shape.nodes, 1), "shape.gpus": (shape.gpus, 0), "shape.cpus": (shape.cpus, 0)}
    for name, (value, least) in lowest.items():
        if not least <= value <= MAX_COUNT:
            raise BadRequestError(f"{where}: {name} = {value}: must be from {least} to {MAX_COUNT}")
    if shape.chips < 1:
        raise BadRequestError(f"{where}: shape wants neither GPUs nor CPUs: give cpus = 1 or more")
    _check_words(spec, where)
    if spec.time_limit_s is not None and spec.time_limit_s <= 0:
        raise BadRequestError(f"{where}: time_limit_s = {spec.time_limit_s}: must be above 0, or absent")
    for name, time_s in (("not_before_s", spec.not_before_s), ("deadline_s", spec.deadline_s)):
        if time_s is not None and not 0 <= time_s <= MAX_TIME_S:
            raise BadRequestError(f"{where}: {name} = {time_s}: must be from 0 to {MAX_TIME_S}, the end of year 9999")
    if spec.grace_s < 0:
        raise BadRequestError(f"{where}: grace_s = {spec.grace_s}: must be at least 0")
    for cause, count in spec.retries.items():
        if count < 0:
            raise BadRequestError(f"{where}: retries.{cause.value} = {count}: must be at least 0")


def check_sweep(spec: SweepSpec) -> None:
    """Raise BadRequestError for a sweep that cannot be meant."""
    check_spec(spec.template, "sweep: template")
    for name, values in spec.axes:
        if not values:
            raise BadRequestError(f"sweep: axis {name} has no values: give one or more, or leave it out")
    if len(spec) > MAX_MEMBERS:
        raise BadRequestError(f"sweep: has {len(spec)} members: at most {MAX_MEMBERS}; split it")
    if spec.max_running is not None and spec.max_running < 1:
        raise BadRequestError(f"sweep: max_running = {spec.max_running}: must be at least 1, or absent")
    if spec.stop_if_failed is not None and not 0 <= spec.stop_if_failed <= 1:
        raise BadRequestError(f"sweep: stop_if_failed = {spec.stop_if_failed}: must be a fraction from 0 to 1")
    if any(dependency.uid <= 0 for dependency in spec.template.after):
        raise BadRequestError("sweep: template.after: members cannot wait for one another: give uids above 0")


def check_key(key: str, specs: Sequence[JobSpec]) -> None:
    """Raise BadRequestError for an idempotency key that cannot stand for these jobs."""
    if not 1 <= len(key) <= MAX_NAME:
        raise BadRequestError(f"idempotency key of {len(key)} characters: must have from 1 to {MAX_NAME}")
    teams = {spec.team for spec in specs}
    if len(teams) > 1:
        names = ", ".join(sorted(teams))
        raise BadRequestError(f"idempotency key {key!r}: jobs of the teams {names}: submit those of each team alone")


def check_cycles(specs: Sequence[JobSpec]) -> None:
    """Raise when jobs of one submission would wait for one another; those of earlier ones cannot."""
    needs = {
        index: {-dependency.uid - 1 for dependency in spec.after if dependency.uid < 0}
        for index, spec in enumerate(specs)
    }
    for index, spec in enumerate(specs):
        uids = [dependency.uid for dependency in spec.after]
        if any(uid == 0 or uid > MAX_UID for uid in uids) or any(need >= len(specs) for need in needs[index]):
            raise BadRequestError(
                f"job {index} of the submission: after: must be uids above 0, or from -1 to -{len(specs)} for jobs of "
                "this submission"
            )
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        jobs = sorted(set(error.args[1]))
        names = ", ".join(f"{index} ({specs[index].name})" if specs[index].name else str(index) for index in jobs)
        raise DependencyCycleError(
            f"jobs {names} of the submission wait for one another: remove one of their dependencies"
        ) from None


def check_text(*texts: str) -> None:
    """Raise ValueError for half a surrogate pair: JSON can escape it, and UTF-8, which the database keeps, has none."""
    for text in texts:
        if not text.isascii():
            text.encode()


def check_size(texts: Sequence[str], where: str) -> None:
    """Raise BadRequestError when the texts together are larger than SPEC_LIMIT_BYTES."""
    length = sum(map(len, texts))
    if length > SPEC_LIMIT_BYTES // 4:  # a character has at most four bytes
        length = sum(len(text.encode()) for text in texts)
    if length > SPEC_LIMIT_BYTES:
        raise BadRequestError(
            f"{where}: has {length / 2**20:.1f} MiB as JSON: at most {SPEC_LIMIT_BYTES / 2**20:.0f} MiB; put data into "
            "files and name them"
        )


def _check_words(spec: JobSpec, where: str) -> None:
    if not spec.kind:
        raise BadRequestError(f"{where}: kind is empty: must be train or command")
    if "/" in spec.name or not spec.name.isprintable() or spec.name != spec.name.strip() or spec.name in {".", ".."}:
        raise BadRequestError(
            f"{where}: name = {spec.name[:MAX_NAME]!a}: must have no slash, control character or half a surrogate "
            "pair, and no space at its ends: commands and URLs name the job by it"
        )
    for name in ("name", "team", "user", "recipe"):
        if len(getattr(spec, name)) > MAX_NAME:
            raise BadRequestError(f"{where}: {name} has {len(getattr(spec, name))} characters: at most {MAX_NAME}")
