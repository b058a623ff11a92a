"""`submit`: a training run or any program, into the queue."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.completion import complete_overrides
from scripts.cli.durations import parse_duration, parse_moment
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, print_json, say
from scripts.cli.queue_connection import connect_or_start, user_name

if TYPE_CHECKING:
    from configs.compose import Composed

WordsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="OVERRIDES... | -- COMMAND...",
        help="a training run as KEY=VALUE (`queue.team=vision` and the like set what the options set), "
        "or a program and its arguments",
        autocompletion=complete_overrides,
    ),
]
Texts = list[str] | None
_PREFIX = "queue."


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options, and overrides that begin with `queue.`, ask for; all as text."""

    values: dict[str, str]

    def text(self, name: str) -> str | None:
        """Return an option, None when it was not given."""
        return self.values.get(name)

    def number(self, name: str) -> int | None:
        """Return a whole number. Raises CommandError."""
        text = self.values.get(name)
        if text is not None and not text.isdigit():
            raise CommandError(f"{name} = {text}: must be a whole number")
        return None if text is None else int(text)


QUEUE_KEYS = (
    "team", "tier", "name", "nodes", "gpus", "cpus", "accelerator", "same", "time", "grace", "deadline", "not_before",
    "pool", "user",
)  # fmt: skip


def submit(  # noqa: PLR0913 - the options of one command line
    words: WordsArgument,
    *,
    team: Annotated[str | None, typer.Option(help="whose share it counts for")] = None,
    tier: Annotated[str | None, typer.Option(help="interactive, standard or flex")] = None,
    name: Annotated[str | None, typer.Option(help="a name to find it by")] = None,
    nodes: Annotated[str | None, typer.Option(help="nodes, all at once or none")] = None,
    gpus: Annotated[str | None, typer.Option(help="accelerators in each node")] = None,
    cpus: Annotated[str | None, typer.Option(help="CPUs in each node")] = None,
    accelerator: Annotated[str | None, typer.Option(help="kind of accelerator, as the nodes name it")] = None,
    same: Annotated[str | None, typer.Option(help="label that all nodes must share, such as zone")] = None,
    time: Annotated[str | None, typer.Option(help="longest an attempt may run, such as 6h")] = None,
    grace: Annotated[str | None, typer.Option(help="time to save when it is asked to stop")] = None,
    deadline: Annotated[str | None, typer.Option(help="2026-12-01T08:00, or 12h from now")] = None,
    not_before: Annotated[str | None, typer.Option(help="2026-12-01T08:00, or 12h from now")] = None,
    pool: Annotated[str | None, typer.Option(help="only there")] = None,
    after: Annotated[Texts, typer.Option(metavar="JOB", help="once this has succeeded; may be repeated")] = None,
    after_any: Annotated[Texts, typer.Option(metavar="JOB", help="once this is over")] = None,
    retry: Annotated[Texts, typer.Option(metavar="CAUSE=N", help="retries, such as user_code=2")] = None,
    label: Annotated[Texts, typer.Option(metavar="KEY=VALUE", help="labels that the nodes must have")] = None,
    env: Annotated[Texts, typer.Option(metavar="NAME=VALUE", help="environment of a command")] = None,
    secret: Annotated[
        Texts, typer.Option(metavar="NAME=env:NAME", help="a variable that the agent looks up: env:NAME or file:/path")
    ] = None,
    code: Annotated[Path | None, typer.Option(help="working folder that travels; for commands the current one")] = None,
    no_code: Annotated[bool, typer.Option("--no-code", help="nothing travels")] = False,
    hold: Annotated[bool, typer.Option("--hold", help="wait until it is released")] = False,
    keep: Annotated[bool, typer.Option("--no-preempt", help="must not be preempted")] = False,
    key: Annotated[str | None, typer.Option(help="idempotency key: submitting again makes nothing new")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Submit a training run (KEY=VALUE overrides), or a program (-- COMMAND). It is on disk when this returns."""
    given = {
        "team": team, "tier": tier, "name": name, "nodes": nodes, "gpus": gpus, "cpus": cpus,
        "accelerator": accelerator, "same": same, "time": time, "grace": grace, "deadline": deadline,
        "not_before": not_before, "pool": pool,
    }  # fmt: skip
    overrides, asked = split_queue_keys(words, {option: text for option, text in given.items() if text is not None})
    job = command_job(words, env, secret) if is_command(words) else train_job(overrides)
    job = {**job, **common(asked)}
    job["shape"] = {**job.get("shape", {}), **shape_of(asked, label)}
    job["after"] = [{"job": one} for one in after or []] + [{"job": one, "ok": False} for one in after_any or []]
    job |= {"held": hold, "preemptible": not keep, "retries": _counts(retry)}
    with connect_or_start() as client:
        folder = code or (Path() if job["kind"] == "command" else None)
        if folder is not None and not no_code:
            job["code"] = send_code(client, folder)
        [made] = client.submit([job], key=key)
    if output is OutputFormat.JSON:
        print_json(made)
    else:
        say(f"submitted {made['id']}; `ostinato why {made['id']}` says when it starts")
    return ExitCode.OK


def is_command(words: list[str]) -> bool:
    """Return whether `words` are a program: the first one is no KEY=VALUE, nor ++KEY=VALUE or ~KEY."""
    return "=" not in words[0] and not words[0].startswith(("~", "+"))


def split_queue_keys(words: list[str], given: dict[str, str]) -> tuple[list[str], Asked]:
    """Return the overrides for the run, and what those that begin with `queue.` and the options ask for."""
    if is_command(words):
        return [], Asked(given)
    values, rest = {}, []
    for word in words:
        if not word.startswith(_PREFIX):
            rest.append(word)
            continue
        key, _, value = word.removeprefix(_PREFIX).partition("=")
        if key not in QUEUE_KEYS:
            raise CommandError(f"{word}: known after {_PREFIX} are {', '.join(QUEUE_KEYS)}")
        values[key] = value
    return rest, Asked({**values, **given})


def common(asked: Asked) -> dict[str, Any]:
    """Return what jobs of all kinds say, without what was not asked for."""
    found = {
        "team": asked.text("team"),
        "tier": asked.text("tier"),
        "name": asked.text("name"),
        "pool": asked.text("pool"),
        "user": asked.text("user") or user_name(),
        "time_limit_s": parse_duration(asked.text("time"), "--time"),
        "grace_s": parse_duration(asked.text("grace"), "--grace"),
        "deadline_s": parse_moment(asked.text("deadline"), "--deadline"),
        "not_before_s": parse_moment(asked.text("not_before"), "--not-before"),
    }
    return {name: value for name, value in found.items() if value is not None}


def shape_of(asked: Asked, labels: Texts) -> dict[str, Any]:
    """Return the shape, without what was not asked for."""
    found: dict[str, Any] = {name: asked.number(name) for name in ("nodes", "gpus", "cpus")}
    found |= {name: asked.text(name) for name in ("accelerator", "same")}
    found["labels"] = _pairs(labels, "--label") or None
    return {name: value for name, value in found.items() if value is not None}


def command_job(words: list[str], env: Texts, secret: Texts) -> dict[str, Any]:
    """Return a job of kind `command`."""
    payload: dict[str, Any] = {"command": list(words)}
    if env:
        payload["environment"] = _pairs(env, "--env")
    if secret:
        payload["secrets"] = _pairs(secret, "--secret")
    return {"kind": "command", "payload": payload, "recipe": Path(words[0]).name}


def train_job(overrides: list[str]) -> dict[str, Any]:
    """Return a job of kind `train`: composed here, so that mistakes show before it waits for hours."""
    from configs.compose import compose

    return job_of(compose(overrides), overrides)


def job_of(composed: "Composed", overrides: Sequence[str]) -> dict[str, Any]:
    """Return the job of kind `train` that `overrides` were composed into; warnings go to stderr."""
    for warning in composed.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    document = composed.document
    if not any(word.lstrip("+").startswith("run.name=") for word in overrides):
        # The agent names it after the job, so that two submissions of one configuration are two runs.
        document = {**document, "run": {**document["run"], "name": None}}
    cluster = document["cluster"]
    on_cpus = cluster["accelerator"] in {"auto", "cpu"}
    each = cluster["workers"] * cluster["cpus_per_worker"]
    return {
        "kind": "train",
        "payload": {"document": document},
        "recipe": str(document["recipe"]["kind"]),
        "shape": {"cpus": each} if on_cpus else {"gpus": cluster["workers"], "cpus": each},
    }


def send_code(client: Any, folder: Path) -> str:
    """Let the working folder travel, once for each content; return its address."""
    from batch.code_bundle import pack

    bundle = pack(folder.resolve())
    if not client.has_code(bundle.address):
        client.put_code(bundle.address, bundle.data)
    return bundle.address


def _pairs(texts: Texts, where: str) -> dict[str, str]:
    found = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CommandError(f"{where} {name}: write NAME=VALUE")
        found[name] = value
    return found


def _counts(texts: Texts) -> dict[str, int]:
    found = _pairs(texts, "--retry")
    for cause, count in found.items():
        if not count.isdigit():
            raise CommandError(f"--retry {cause}={count}: write a whole number of retries")
    return {cause: int(count) for cause, count in found.items()}
