"""Known models by name: `llama3.1-405b`, `gpt2`, `vit-b-16`. Sizes are facts from papers and config.json files."""

from difflib import get_close_matches
from typing import Any

from planner.architectures.known_pictures import PICTURES
from planner.architectures.known_texts import TEXTS
from planner.errors import UnknownNameError

_KNOWN: dict[str, dict[str, Any]] = {**TEXTS, **PICTURES}


def known_names() -> tuple[str, ...]:
    """Return the names, sorted."""
    return tuple(sorted(_KNOWN))


def known_config(name: str) -> dict[str, Any]:
    """Return the configuration of a known model. Raises UnknownNameError with names that are near."""
    config = _KNOWN.get(name.lower())
    if config is not None:
        return {"name": name.lower(), **config}
    near = get_close_matches(name.lower(), _KNOWN, n=5, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(known_names())}"
    raise UnknownNameError(f"no architecture is called {name!r}: {hint} A path to a config.json works too")
