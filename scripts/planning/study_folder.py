"""Where studies lie: `~/.ostinato/plan/NAME`, or below $OSTINATO_HOME."""

import re

from batch.state_folder import StateFolder
from planner.errors import BadInputError
from planner.loop.study import Study

DEFAULT_STUDY = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def open_study(name: str) -> Study:
    """Return the study `name`; its folder is made by the first write. Raises BadInputError."""
    if not _NAME.fullmatch(name):
        raise BadInputError(f"--study {name!r}: must be letters, digits, dots and dashes: it names a folder")
    return Study(StateFolder.of_user().path / "plan" / name)
