"""A model's configuration as it was given, read with names and types checked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Settings:
    """The keys of a config.json, and where they are from."""

    values: Mapping[str, Any]
    source: str

    @classmethod
    def of(cls, given: "Mapping[str, Any] | Path | Settings") -> "Settings":
        """Return the settings of a mapping or of a JSON file. Raises BadInputError."""
        if isinstance(given, Settings):
            return given
        if isinstance(given, Mapping):
            return cls(given, str(given.get("_name_or_path") or given.get("name") or "the configuration"))
        try:
            values = json.loads(given.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadInputError(f"{given}: cannot be read as a model's config.json ({error})") from error
        if not isinstance(values, dict):
            raise BadInputError(f"{given}: holds {type(values).__name__}, where a model's config.json holds an object")
        return cls(values, str(given))

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def integer(self, name: str, default: int | None = None, *, also: Sequence[str] = ()) -> int:
        """Return a positive integer (or 0), under `name` or one of `also`. Raises BadInputError."""
        for key in (name, *also):
            value = self.values.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise BadInputError(f"{key} = {value!r} ({self.source}): must be a positive integer")
            return value
        if default is None:
            raise BadInputError(f"{name} is missing ({self.source}): it is needed to count the model's operations")
        return default

    def number(self, name: str, default: float) -> float:
        """Return a number. Raises BadInputError."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadInputError(f"{name} = {value!r} ({self.source}): must be a number")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a truth value. Raises BadInputError: the text "false" is true to Python."""
        value = self.values.get(name)
        if value is None:
            return default
        if value not in (True, False):
            raise BadInputError(f"{name} = {value!r} ({self.source}): must be true or false")
        return bool(value)

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        value = self.values.get(name)
        return default if value is None else str(value)

    def several(self, name: str) -> list[Any]:
        """Return a list; empty if there is none. Raises BadInputError."""
        value = self.values.get(name)
        if value is None:
            return []
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise BadInputError(f"{name} = {value!r} ({self.source}): must be a list")
        return list(value)

    def part(self, name: str) -> "Settings":
        """Return the settings of a part, such as `vision_config`; empty ones if it says nothing of it.

        Raises BadInputError.
        """
        value = self.values.get(name) or {}
        if not isinstance(value, Mapping):
            raise BadInputError(f"{name} = {value!r} ({self.source}): must be an object with settings of its own")
        return Settings(value, f"{self.source}: {name}")
