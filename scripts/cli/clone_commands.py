"""`clone` and `diff`: a job again with changes, and two jobs side by side."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, print_json, print_table, say
from scripts.cli.queue_connection import JobArgument, connect, user_name
from scripts.cli.submit_command import common, shape_of, split_queue_keys

_NOT_CLONED = ("after", "not_before_s", "deadline_s", "held", "user")


def clone(
    job: JobArgument,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="what is different")] = None,
    *,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Submit a job again, with changes: keys of the run, or of the queue (queue.team=vision)."""
    with connect() as client:
        found = client.job(job)
        spec = changed(found, overrides or [])
        [made] = client.submit([spec])
    if output is OutputFormat.JSON:
        print_json(made)
    else:
        say(f"submitted {made['id']}, like {found['id']}" + (f" with {' '.join(overrides)}" if overrides else ""))
    return ExitCode.OK


def diff(left: JobArgument, right: JobArgument, *, output: OutputOption = OutputFormat.TEXT) -> int:
    """Compare two jobs, key by key: what they run, and what they asked the queue for."""
    from configs.convert import show_value
    from configs.difference import differences

    with connect() as client:
        documents = [_flat(client.job(one)) for one in (left, right)]
    found = differences(*documents)
    if output is OutputFormat.JSON:
        print_json([asdict(one) for one in found])
    elif not found:
        say("no difference")
    else:
        print_table(("key", left, right), [[one.path, show_value(one.left), show_value(one.right)] for one in found])
    return ExitCode.OK


def changed(found: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Return what to submit for a job like `found` under `overrides`. Raises CommandError, ConfigError."""
    spec = {key: value for key, value in found["spec"].items() if key not in _NOT_CLONED}
    wanted = [*found["overrides"], *overrides]
    if any("=" not in word for word in wanted):
        raise CommandError("what is different is written KEY=VALUE")
    rest, asked = split_queue_keys(wanted, {}) if wanted else ([], None)
    if rest and spec["kind"] != "train":
        raise CommandError(f"{rest[0]}: a command has no keys; only queue.KEY=VALUE can be different")
    if spec["kind"] == "train":
        spec["payload"] = {"document": _document(spec["payload"], rest)}
    if asked is not None:
        spec |= common(asked)
        spec["shape"] = {**spec.get("shape", {}), **shape_of(asked, None)}
    spec.setdefault("user", user_name())
    return spec


def _document(payload: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The new run is another one: it gets a name of its own, unless one is given."""
    document = _composed(payload, overrides)
    if any(word.startswith("run.name=") for word in overrides):
        return document
    return {**document, "run": {**document["run"], "name": None}}


def _composed(payload: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Return the configuration of a run: as it was submitted, or composed anew for members of a sweep over groups."""
    from configs.compose import compose, compose_document

    if "base" in payload:
        last = {word.lstrip("+").partition("=")[0]: word for word in [*payload["base"], *overrides]}
        return compose(list(last.values())).document
    document: dict[str, Any] = payload["document"]
    return compose_document(document, overrides, origin="the job").document if overrides else document


def _flat(job: dict[str, Any]) -> dict[str, Any]:
    """The sections of a train job come first, under their own names, as in `config diff`."""
    spec = dict(job["spec"])
    payload = spec.pop("payload")
    queue = {"queue": {**spec, "overrides": job["overrides"]}}
    empty: dict[str, Any] = {"data": {}}
    if spec["kind"] == "train":
        document = _composed(payload, job["overrides"]) if "base" in payload else payload["document"]
        return {**empty, **document, **queue}
    return {**empty, "command": payload, **queue}
