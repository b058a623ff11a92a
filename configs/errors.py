"""What can go wrong while a configuration is composed.

ConfigError
├── OverrideError        an override that cannot be parsed, or is a sweep
├── GroupError           a group option that does not exist
├── FileError            a YAML file that cannot be read or composed
├── MissingValueError    a value that only the user can give
├── InterpolationError   an interpolation that leads nowhere
├── SchemaError          an unknown key, a wrong type, a value out of its range, sections that contradict
└── ContinueError        a run that exists was asked to continue with another meaning
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: at which path, given where, what is allowed, and the next step.

    `shown` is the offending value as the user would write it; None when there is no value to show.
    """

    path: str
    message: str
    source: str | None = None
    shown: str | None = None
    advice: str | None = None

    def __str__(self) -> str:
        """Return `path = value (source): message; advice`."""
        text = self.path
        if self.shown is not None:
            text += f" = {self.shown}"
        if self.source is not None:
            text += f" ({self.source})" if text else self.source
        text = f"{text}: {self.message}" if text else self.message
        return text if self.advice is None else f"{text}; {self.advice}"


class ConfigError(Exception):
    """Base of all errors of this package: one or more problems, all of which were found in one go."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """Return one problem a line."""
        return "\n".join(str(problem) for problem in self.problems)

    def details(self) -> list[Mapping[str, Any]]:
        """Return the problems as JSON-able objects."""
        return [asdict(problem) for problem in self.problems]


class OverrideError(ConfigError):
    """An override that cannot be parsed, or asks for a sweep."""


class GroupError(ConfigError):
    """A group option that does not exist."""


class FileError(ConfigError):
    """A YAML file that cannot be read or composed."""


class MissingValueError(ConfigError):
    """A value that only the user can give was not given."""


class InterpolationError(ConfigError):
    """An interpolation that leads nowhere."""


class SchemaError(ConfigError):
    """An unknown key, a wrong type, a value out of its range, or sections that contradict each other."""


class ContinueError(ConfigError):
    """A run that exists was asked to continue although what determines its result differs."""
