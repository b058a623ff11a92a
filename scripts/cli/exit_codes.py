"""The exit codes of `ostinato`; they do not change between versions."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can rely on."""

    OK = 0
    """Done. For `train` and `resume`: the run is finished."""
    FAILED = 1
    """The run failed, a checkpoint is damaged, or something unforeseen happened."""
    BAD_INPUT = 2
    """A command line or a configuration that cannot be meant: correct it."""
    NOT_FOUND = 3
    """No such run, checkpoint or catalogue."""
    ENVIRONMENT = 4
    """Something outside is missing, too small or does not answer: cluster, store, disk, shared memory."""
    INTERRUPTED = 75
    """The run was stopped after a save and can be resumed (EX_TEMPFAIL of sysexits.h: try again later)."""
    ABORTED = 130
    """Ctrl-C in a command that has nothing to save."""


class PlanExitCode(IntEnum):
    """What 3 and 4 mean in `ostinato plan`, which looks for no run and talks to nothing outside."""

    REFUSED = 3
    """An answer that the evidence does not carry; `--force` gives it all the same."""
    DOES_NOT_FIT = 4
    """No memory, money or time for it."""
