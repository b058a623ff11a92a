"""What people send, as values: JSON of a job or sweep to JobSpec and SweepSpec, strictly. On the hot path; no pydantic.

The fields and their types are those of model.py, and one that is not known is refused: a misspelt `time_limit` that is
silently ignored costs a night. Three things are friendlier than there: `after` takes ids, names and places in the
same request, `labels` takes an object, and what looks like a credential is refused. What a job may ask for is the
store's to check.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from batch.code_bundle import is_address
from batch.controller.roles import Principal, Role
from batch.credentials import refuse_assigned, refuse_credentials
from batch.errors import BadRequestError
from batch.json_values import from_json
from batch.model import JobSpec, SweepSpec

MAX_BODY_BYTES = 8 * 2**20
MAX_JOBS = 10_000
"""In one request: one transaction and one answer."""
KINDS = ("train", "command")

Resolve = Callable[[str], int]
"""From what people write for a job to its uid."""


def parse_body(body: bytes) -> Any:
    """Return the JSON of a request. Raises BadRequestError."""
    try:
        return _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is no JSON ({error}): send a JSON value in UTF-8") from error


def jobs_from_json(raw: Any, resolve: Resolve, who: Principal) -> list[JobSpec]:
    """Return the jobs of `POST /v1/jobs`: a list, one object for each, as jobs of whoever sends it.

    Raises NotAllowedError for another team than the token's, BadRequestError that names the place in the request, and
    what `resolve` raises.
    """
    if not isinstance(raw, list) or not raw:
        raise BadRequestError("the body must be a list of jobs, with one at least")
    if len(raw) > MAX_JOBS:
        raise BadRequestError(f"{len(raw)} jobs in one request: at most {MAX_JOBS}; send several, or a sweep")
    return [_job(one, resolve, who, f"jobs[{at}]") for at, one in enumerate(raw)]


def sweep_from_json(raw: Any, resolve: Resolve, who: Principal) -> SweepSpec:
    """Return the sweep of `POST /v1/sweeps`. Raises as `jobs_from_json` does."""
    if not isinstance(raw, dict):
        raise BadRequestError(f"sweep = {str(raw)[:80]!r}: must be an object")
    template = _ready(raw.get("template"), resolve, who, "sweep.template")
    spec = from_json(SweepSpec, {**raw, "template": template}, "sweep")
    who.check_team(spec.template.team)
    _check_payload(spec.template, "sweep.template.payload")
    for at, (key, values) in enumerate(spec.axes):
        refuse_assigned(key, values, f"sweep.axes[{at}]")
    return spec


def _job(raw: Any, resolve: Resolve, who: Principal, where: str) -> JobSpec:
    spec = from_json(JobSpec, _ready(raw, resolve, who, where), where)
    who.check_team(spec.team)
    _check_payload(spec, f"{where}.payload")
    return spec


def _ready(raw: Any, resolve: Resolve, who: Principal, where: str) -> Any:
    """Return the job as JobSpec reads it: whose it is, uids in `after`, pairs in `labels`.

    In `after`, `job` names one that exists, and `index` one of the same request, from 0 on.
    """
    if not isinstance(raw, dict):
        return raw
    changed = dict(raw)
    if who.role is not Role.OPERATOR:
        changed["user"] = who.name
    if who.team is not None:
        changed.setdefault("team", who.team)
    shape = raw.get("shape")
    if isinstance(shape, dict) and isinstance(shape.get("labels"), dict):
        changed["shape"] = {**shape, "labels": sorted(shape["labels"].items())}
    if isinstance(raw.get("after"), list):
        changed["after"] = [_dependency(one, resolve, f"{where}.after[{at}]") for at, one in enumerate(raw["after"])]
    return changed


def _dependency(raw: Any, resolve: Resolve, where: str) -> Any:
    if not isinstance(raw, Mapping):
        return raw
    rest = {name: value for name, value in raw.items() if name not in {"job", "index"}}
    if isinstance(raw.get("job"), str):
        rest["uid"] = resolve(raw["job"])
    elif type(raw.get("index")) is int and raw["index"] >= 0:
        rest["uid"] = -1 - raw["index"]
    if "uid" not in rest:
        raise BadRequestError(f'{where} = {str(raw)[:80]}: write {{"job": "ID"}}, or {{"index": 0}} for the first here')
    return rest


def _check_payload(spec: JobSpec, where: str) -> None:
    if spec.kind not in KINDS:
        raise BadRequestError(f"{where[:-8]}.kind = {spec.kind[:80]!r}: must be {' or '.join(KINDS)}")
    if spec.kind == "command":
        _check_command(spec.payload, where)
    if spec.code is not None and not is_address(spec.code):
        raise BadRequestError(f"{where[:-8]}.code = {spec.code[:80]!a}: must be 64 hexadecimal digits")
    refuse_credentials(spec.payload, where)
    for name in ("name", "recipe", "user"):
        refuse_credentials(getattr(spec, name), f"{where[:-8]}.{name}")
    refuse_credentials(dict(spec.shape.labels), f"{where[:-8]}.shape.labels")


def _check_command(payload: Mapping[str, Any], where: str) -> None:
    """Raise for what no system can start: it would be tried again and again, on nodes that others wait for."""
    command = payload.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise BadRequestError(f'{where}.command: must be the program and its arguments: ["python", "train.py"]')
    if not command[0] or any("\0" in word for word in command):
        raise BadRequestError(f"{where}.command: the program must have a name, and no word a zero character")
    for field in ("environment", "secrets"):
        variables = payload.get(field)
        if not variables:
            continue
        if not isinstance(variables, dict):
            raise BadRequestError(f"{where}.{field}: must be an object of texts by name")
        for name, value in variables.items():
            if not name or "=" in name or "\0" in name or not isinstance(value, str) or "\0" in value:
                raise BadRequestError(
                    f"{where}.{field}: {name[:80]!a}: a variable has a name without =, and a text, both without zeros"
                )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
