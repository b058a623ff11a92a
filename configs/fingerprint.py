"""What makes a run the run that it is: the part of its configuration that determines the result.

Everything else is *elastic*: it may change whenever the run continues, and losses stay the same up to the order of
sums.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from configs.convert import show_value
from configs.documents import Document, flatten, with_defaults
from configs.errors import ContinueError, Problem
from configs.hints import TARGET_KEY
from configs.schema import RunSpec

ELASTIC = (
    "run.name",
    "run.folder",
    "run.steps",
    "run.micro_batch",
    "run.evaluate_every_steps",
    "run.record_samples",
    "engine.zero_stage",
    "engine.activation_checkpointing",
    "checkpoint",
    "cluster",
)
"""Sections and keys that may change when a run continues. Arguments of a user's own `_target_` never may."""
ELASTIC_DATA = ("data.url", "data.storage_options", "data.cache_folder", "data.cache_max_bytes")
"""Where a catalogue lies is elastic too: whether it is the same data is known by its content, which workers check."""

_ABSENT = object()
_DECAY = "optim.decay_steps"


def fingerprint(document: Mapping[str, Any]) -> str:
    """Return 64 hex digits (SHA-256) that are equal for configurations with the same result, on every machine.

    The place of the data counts here, although a run may continue from another: two catalogues that differ in
    nothing but their place must not get the same default name.
    """
    document = with_defaults(RunSpec, document)
    parts = {**essence(document), "data.url": document["data"].get("url")}
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def default_name(document: Mapping[str, Any]) -> str:
    """Return the name of a run that was given none: `<recipe>-<8 hex digits of the fingerprint>`."""
    return f"{document['recipe']['kind']}-{fingerprint(document)[:8]}"


def essence(document: Mapping[str, Any]) -> Document:
    """Return the leaves that determine the result, by dotted path.

    A decay that lasts as long as the run is written out: with a cosine over run.steps, more steps are another
    schedule from the first step on.
    """
    document = with_defaults(RunSpec, document)
    elastic = ELASTIC if TARGET_KEY in document["data"] else ELASTIC + ELASTIC_DATA
    leaves = {path: value for path, value in flatten(document) if not _is_below(path, elastic)}
    optim = document["optim"]
    lasting = None if optim["schedule"] == "constant" else optim["decay_steps"] or document["run"]["steps"]
    return {**leaves, _DECAY: lasting}


def is_elastic(path: str, document: Mapping[str, Any]) -> bool:
    """Return whether the key at `path` may change when the run of `document` continues."""
    return _is_below(path, ELASTIC if TARGET_KEY in document["data"] else ELASTIC + ELASTIC_DATA)


def check_continues(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Check that a run of the configuration `old` may go on with `new`. Return warnings about what changes with it.

    Raises ContinueError: first the run, then each key that differs and is not elastic.
    """
    before, after = essence(old), essence(new)
    warnings = []
    if _decays_anew(old, new, before, after):
        warnings.append(
            f"the learning rate now decays over {after[_DECAY]} steps instead of {before[_DECAY]}, so that it is not "
            "what a run of that length had from the start; "
            f"optim.decay_steps={before[_DECAY]} goes on at the final value"
        )
        after[_DECAY] = before[_DECAY]
    problems = [
        _difference(path, before, after)
        for path in sorted(before.keys() | after.keys())
        if before.get(path, _ABSENT) != after.get(path, _ABSENT)
    ]
    if problems:
        name = new["run"]["name"]
        message = "exists, and with this configuration its result would be another"
        advice = f"choose another run.name, or go on as it is with `ostinato resume {name}`"
        raise ContinueError([Problem("run.name", message, None, name, advice), *problems])
    return warnings


def _decays_anew(
    old: Mapping[str, Any], new: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    """Return whether the decay differs only because it lasts as long as the run, which was given another length."""
    explicit = [with_defaults(RunSpec, document)["optim"]["decay_steps"] for document in (old, new)]
    return explicit == [None, None] and before[_DECAY] != after[_DECAY]


def _difference(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Problem:
    message = f"the run has {show_value(before[path], path)}" if path in before else "the run has none"
    shown = show_value(after[path], path) if path in after else "(none)"
    return Problem(path, message, None, shown)


def _is_below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}.") for root in roots)
