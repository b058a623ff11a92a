"""Whose the folders of a job and of an attempt are, beside their numbers.

A database that was restored from an older copy may give a number once more, to another job or to another placement of
the same one. What the first has left there (files, checkpoints, how it ended) must not be taken for the second's. It is
put aside under a name that begins with a dot, and is nobody's from then on: a person may look for it there, until it is
as old as folders of jobs that are over get (retention.py).
"""

from pathlib import Path

from batch.agent.atomic_files import read_json, replace_json
from batch.agent.attempt_folder import attempt_path
from batch.agent.messages import Grant

_JOB = "job.json"
_PLACEMENT = "placement.json"
ASIDE = ".{}-before-"
"""What the name of a folder that was put aside begins with."""


def is_of(folder: Path, grant: Grant) -> bool:
    """Return whether a job's folder is that of the grant's job, or nobody's yet."""
    known = read_json(folder / _JOB)
    return known is None or known.get("born_s") == grant.born_s


def claim(folder: Path, grant: Grant) -> None:
    """Let the folders be those of the grant's job and placement. Blocking, briefly. Raises OSError.

    Called before anything of the attempt is written there, and as long as nothing else of the job runs.
    """
    if not is_of(folder, grant):
        _put_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _JOB).exists():
        replace_json(folder / _JOB, {"born_s": grant.born_s})
    attempt = attempt_path(folder, grant.attempt)
    known = read_json(attempt / _PLACEMENT)
    report = None
    if known is not None and known.get("fence") != grant.fence:
        report = read_json(attempt / "checkpoint.json")  # of the same job: it goes on from there
        _put_aside(attempt)
    attempt.mkdir(parents=True, exist_ok=True)
    if report is not None:
        replace_json(attempt / "checkpoint.json", report)
    replace_json(attempt / _PLACEMENT, {"fence": grant.fence})


def _put_aside(folder: Path) -> None:
    number = 1
    while (target := folder.with_name(f"{ASIDE.format(folder.name)}{number}")).exists():
        number += 1
    folder.rename(target)
