"""Known models by name: `llama3.1-405b`, `gpt2`, `vit-b-16`. Sizes are facts from papers and config.json files."""

from difflib import get_close_matches
from typing import Any

from planner.architectures.known_pictures import PICTURES
from planner.architectures.known_texts import TEXTS
from planner.errors import UnknownNameError

_KNOWN: dict[str, dict[str, Any]] = {**TEXTS, **PICTURES}

_MOST_NEAR = 10


def known_names() -> tuple[str, ...]:
    """Return the names, sorted."""
    return tuple(sorted(_KNOWN))


def known_config(name: str) -> dict[str, Any]:
    """Return the configuration of a known model. Raises UnknownNameError with names that are near."""
    config = _KNOWN.get(name.lower())
    if config is not None:
        return {"name": name.lower(), **config}
    near = get_close_matches(name.lower(), _KNOWN, n=_MOST_NEAR, cutoff=0.5)
    some = known_names()[:_MOST_NEAR]
    known = f"known are {', '.join(some)} and {len(_KNOWN) - len(some)} more."
    hint = f"did you mean {', '.join(near)}?" if near else known
    raise UnknownNameError(f"no architecture is called {name!r}: {hint} A path to a config.json works too")
