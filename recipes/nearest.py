"""What a mistyped name was probably meant to be."""

import difflib
from collections.abc import Collection


def nearest_hint(name: str, known: Collection[str], *, show: int = 12) -> str:
    """Return the end of an error message: the nearest known name if one is near, else (some of) the known names."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    names = sorted(known)
    more = f" and {len(names) - show} more" if len(names) > show else ""
    return f"; there are {', '.join(names[:show])}{more}"
