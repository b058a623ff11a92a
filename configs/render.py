"""A resolved configuration as YAML that can be copied into a file, each key with its meaning."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from configs.hints import field_at
from configs.redact import redacted
from configs.schema import RunSpec

_PLAIN_TEXT = re.compile(r"[A-Za-z_/][\w./:-]*\w")
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def to_yaml(document: Mapping[str, Any], *, explain: bool = False) -> str:
    """Return `document` as YAML with credentials masked; with `explain`, each key's help and source as a comment."""
    lines = list(_lines(redacted(document), "", 0))
    if not explain:
        return "\n".join(text for text, _ in lines) + "\n"
    width = min(60, max(len(text) for text, _ in lines))
    return "\n".join(_commented(text, _help(path), width) for text, path in lines) + "\n"


def _lines(document: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    for key, value in document.items():
        path = f"{prefix}{key}"
        name = "  " * depth + _scalar(str(key))
        if isinstance(value, Mapping) and value:
            yield f"{name}:", path
            yield from _lines(value, f"{path}.", depth + 1)
        else:
            yield f"{name}: {_scalar(value)}", path


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    if isinstance(value, float):
        # YAML 1.1 reads 1e-05 as text; with a point it is a number for every parser.
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    return json.dumps(value, ensure_ascii=False)


def _help(path: str) -> str:
    field = field_at(RunSpec, path)
    return "" if field is None else str(field.metadata.get("help", ""))


def _commented(text: str, comment: str, width: int) -> str:
    return f"{text:<{width}}  # {comment}" if comment else text
