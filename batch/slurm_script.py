"""Batch scripts written for Slurm: their #SBATCH lines as a JobSpec or a SweepSpec. Pure.

What has a meaning here is taken over; what has none is told in `ignored`, so that nobody believes that it holds. The
options are those of sbatch(1) of Slurm 22.05.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batch.errors import BadRequestError
from batch.model import Cause, JobSpec, Shape, SweepSpec, Tier

_SHORT = {
    "-A": "account", "-a": "array", "-B": "extra-node-info", "-b": "begin", "-C": "constraint", "-c": "cpus-per-task",
    "-D": "chdir", "-d": "dependency", "-e": "error", "-F": "nodefile", "-G": "gpus", "-H": "hold", "-i": "input",
    "-J": "job-name", "-k": "no-kill", "-L": "licenses", "-M": "clusters", "-m": "distribution", "-N": "nodes",
    "-n": "ntasks", "-O": "overcommit", "-o": "output", "-p": "partition", "-Q": "quiet", "-q": "qos",
    "-S": "core-spec", "-s": "oversubscribe", "-t": "time", "-v": "verbose", "-W": "wait", "-w": "nodelist",
    "-x": "exclude",
}  # fmt: skip
_FLAGS = frozenset({
    "contiguous", "exclusive", "get-user-env", "hold", "ignore-pbs", "nice", "no-kill", "no-requeue", "overcommit",
    "oversubscribe", "parsable", "propagate", "quiet", "reboot", "requeue", "spread-job", "test-only", "use-min-nodes",
    "verbose", "wait",
})  # fmt: skip
"""What needs no value; some take one behind an equals sign."""
_TIERS = {"interactive": Tier.INTERACTIVE, "high": Tier.INTERACTIVE, "low": Tier.FLEX, "scavenger": Tier.FLEX}
_REFUSED = {
    "dependency": "Slurm's job ids mean nothing here; submit with --after JOB",
    "begin": "submit with --not-before TIME",
}
"""What would start too early if it were ignored."""
_MAX_MEMBERS = 1_000_000
_TASK_VARIABLE = "SLURM_ARRAY_TASK_ID"


@dataclass(frozen=True, slots=True)
class Imported:
    """What a script asks for: `spec` to submit, and the options that have no meaning here, as they were written."""

    spec: JobSpec | SweepSpec
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Option:
    """One option. `line` is its line in the script, counted from 1."""

    name: str
    value: str
    line: int


@dataclass(slots=True)
class _Draft:
    """What the options have said so far."""

    spec: JobSpec
    nodes: int = 1
    gpus_per_node: int | None = None
    gpus_per_task: int | None = None
    gpus_total: int | None = None
    accelerator: str | None = None
    cpus_per_task: int = 1
    cpus_per_gpu: int | None = None
    tasks: int | None = None
    tasks_per_node: int | None = None
    array: tuple[str, ...] = ()
    max_running: int | None = None
    ignored: list[str] = field(default_factory=list)


def import_script(text: str, *, path: str, team: str = "default") -> Imported:
    """Return what the script at `path` (relative to the working folder that travels with the job) asks for.

    Only #SBATCH lines before the first command count, as for sbatch. Raises BadRequestError naming line, option, value
    and what is allowed.
    """
    options = list(_options(text))
    name = path.rpartition("/")[2]
    draft = _Draft(JobSpec(kind="command", payload={}, team=team, name=name))
    for option in options:
        _apply(draft, option)
    spec = replace(draft.spec, shape=_shape(draft), payload={**draft.spec.payload, **_command(draft, path)})
    ignored = tuple(draft.ignored)
    if not draft.array:
        return Imported(spec, ignored)
    axes = ((_TASK_VARIABLE, draft.array),)
    return Imported(SweepSpec(template=spec, axes=axes, max_running=draft.max_running), ignored)


def _options(text: str) -> Iterator[_Option]:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#SBATCH"):
            yield from _split(stripped.removeprefix("#SBATCH"), number)
        elif stripped and not stripped.startswith("#"):
            return


def _split(text: str, line: int) -> Iterator[_Option]:
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise BadRequestError(f"line {line}: #SBATCH{text}: {error}; close the quotes") from error
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name[:2] in _SHORT and not name.startswith("--"):
            # A short option's value may follow without a space: -N2.
            name, value, equals = _SHORT[name[:2]], word[2:].lstrip("="), word[2:]
        elif name.startswith("--"):
            name = name.removeprefix("--")
        else:
            raise BadRequestError(f"line {line}: {word}: options begin with - or --, as in #SBATCH --nodes=2")
        if not equals and name not in _FLAGS:
            if not words:
                raise BadRequestError(f"line {line}: --{name} needs a value")
            value = words.pop(0)
        yield _Option(name, value, line)


def _apply(draft: _Draft, option: _Option) -> None:
    if option.name in _REFUSED:
        raise BadRequestError(f"line {option.line}: --{option.name}={option.value}: {_REFUSED[option.name]}")
    handler = _HANDLERS.get(option.name)
    if handler is None:
        draft.ignored.append(f"line {option.line}: --{option.name}" + (f"={option.value}" if option.value else ""))
        return
    try:
        handler(draft, option.value)
    except ValueError as error:
        raise BadRequestError(f"line {option.line}: --{option.name}={option.value}: {error}") from error


def _set(draft: _Draft, **changes: Any) -> None:
    draft.spec = replace(draft.spec, **changes)


def _nodes(draft: _Draft, value: str) -> None:
    draft.nodes = _count(value.partition("-")[0])


def _gres(draft: _Draft, value: str) -> None:
    for part in value.split(","):
        kind, *rest = part.partition("(")[0].split(":")  # behind the bracket: on which sockets
        if kind != "gpu":
            draft.ignored.append(f"--gres={part}")
            continue
        draft.gpus_per_node = _count(rest[-1]) if rest and rest[-1].isdigit() else 1
        draft.accelerator = rest[0] if rest and not rest[0].isdigit() else draft.accelerator


def _gpus_per_node(draft: _Draft, value: str) -> None:
    kind, _, count = value.rpartition(":")
    draft.gpus_per_node, draft.accelerator = _count(count), kind or draft.accelerator


def _gpus_per_task(draft: _Draft, value: str) -> None:
    kind, _, count = value.rpartition(":")
    draft.gpus_per_task, draft.accelerator = _count(count), kind or draft.accelerator


def _gpus(draft: _Draft, value: str) -> None:
    kind, _, count = value.rpartition(":")
    draft.gpus_total, draft.accelerator = _count(count), kind or draft.accelerator


def _cpus(draft: _Draft, value: str) -> None:
    draft.cpus_per_task = _count(value)


def _cpus_per_gpu(draft: _Draft, value: str) -> None:
    draft.cpus_per_gpu = _count(value)


def _tasks(draft: _Draft, value: str) -> None:
    draft.tasks = _count(value)


def _tasks_per_node(draft: _Draft, value: str) -> None:
    draft.tasks_per_node = _count(value)


def _array(draft: _Draft, value: str) -> None:
    ranges, _, limit = value.partition("%")
    draft.max_running = _count(limit) if limit else None
    indices: dict[int, None] = {}
    for part in ranges.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if match is None:
            raise ValueError("must be numbers and ranges such as 0-15, 1,3,5 or 0-99:10%4")
        first, last, step = match.groups()
        if step is not None and int(step) == 0:
            raise ValueError("must have a step of at least 1 behind the colon")
        members = range(int(first), int(last or first) + 1, int(step or 1))
        if len(members) > _MAX_MEMBERS:
            raise ValueError(f"{len(members)} members, at most {_MAX_MEMBERS} are allowed")
        if not members:
            raise ValueError("must have ranges whose first number is not above the last")
        indices |= dict.fromkeys(members)
    draft.array = tuple(str(index) for index in indices)


def _time(draft: _Draft, value: str) -> None:
    if value.upper() in {"UNLIMITED", "INFINITE"}:
        value = "0"
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", value)
    if match is None:
        raise ValueError("must be MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS or DAYS-HOURS:MINUTES")
    days, *fields = match.groups()
    numbers = [int(number) for number in fields if number is not None]
    if days is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:  # minutes[:seconds]
        hours, minutes, seconds = 0, numbers[0], [*numbers, 0][1]
    _set(draft, time_limit_s=float(int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds) or None)


def _requeue(draft: _Draft, value: str) -> None:
    _set(draft, retries={Cause.INFRASTRUCTURE: 0, Cause.PREEMPTION: 0} if value == "no" else {})


def _payload(draft: _Draft, **changes: str) -> None:
    _set(draft, payload={**draft.spec.payload, **changes})


_HANDLERS: Mapping[str, Callable[[_Draft, str], None]] = {
    "job-name": lambda draft, value: _set(draft, name=value),
    "account": lambda draft, value: _set(draft, team=value),
    "partition": lambda draft, value: _set(draft, pool=value),
    "qos": lambda draft, value: _set(draft, tier=_TIERS.get(value, Tier.STANDARD)),
    "hold": lambda draft, value: _set(draft, held=True),
    "requeue": lambda draft, value: _requeue(draft, "yes"),
    "no-requeue": lambda draft, value: _requeue(draft, "no"),
    "chdir": lambda draft, value: _payload(draft, folder=value),
    "constraint": lambda draft, value: _set(draft, shape=replace(draft.spec.shape, labels=(("feature", value),))),
    "nodes": _nodes,
    "gres": _gres,
    "gpus-per-node": _gpus_per_node,
    "gpus-per-task": _gpus_per_task,
    "gpus": _gpus,
    "cpus-per-task": _cpus,
    "cpus-per-gpu": _cpus_per_gpu,
    "ntasks": _tasks,
    "ntasks-per-node": _tasks_per_node,
    "array": _array,
    "time": _time,
}


def _shape(draft: _Draft) -> Shape:
    nodes = draft.nodes
    per_node = draft.tasks_per_node or -(-(draft.tasks or nodes) // nodes)
    gpus = draft.gpus_per_node or (draft.gpus_per_task or 0) * per_node
    if draft.gpus_total is not None:
        if draft.gpus_total % nodes:
            raise BadRequestError(
                f"--gpus={draft.gpus_total}: does not divide by --nodes={nodes}; give --gpus-per-node instead"
            )
        gpus = draft.gpus_total // nodes
    shape = draft.spec.shape
    cpus = gpus * draft.cpus_per_gpu if draft.cpus_per_gpu is not None and gpus else per_node * draft.cpus_per_task
    return replace(shape, nodes=nodes, gpus=gpus, cpus=cpus, accelerator=draft.accelerator)


def _command(draft: _Draft, path: str) -> dict[str, Sequence[str]]:
    if not draft.array:
        return {"command": ["bash", path]}
    # A member's override is appended to the command as NAME=VALUE: it becomes the variable that the script reads.
    return {"command": ["bash", "-c", 'export "$1"; exec bash "$0"', path]}


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise ValueError("must be a number of at least 1")
    return int(text)
