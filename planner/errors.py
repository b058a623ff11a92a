"""What can go wrong in the planner. Each carries what, where, the value, what is allowed and the next step in its text.

PlannerError
├── BadInputError            a quantity, file, architecture, layout or option that cannot be meant (exit code 2)
│   ├── BadRunsError         a table of runs that cannot be fitted: a missing column, a loss that is not positive,
│   │                        too few runs, one budget, mixed conventions
│   └── UnknownNameError     no architecture, accelerator, law or column of that name
├── RefusedError             an answer that the evidence does not carry (exit code 3; `--force` gives it all the same)
├── DoesNotFitError          no memory, money or time for it (exit code 4)
├── NoReferenceDataError     the folder that OSTINATO_REFERENCE_DATA names is not there, or lacks a file
└── LedgerError              a forecast that would be changed after it was written, or a ledger that was
"""


class PlannerError(Exception):
    """Base of all errors of this package."""


class BadInputError(PlannerError):
    """A quantity, file, architecture, layout or option that cannot be meant."""


class BadRunsError(BadInputError):
    """A table of runs that cannot be fitted."""


class UnknownNameError(BadInputError):
    """No architecture, accelerator, law or column of that name."""


class RefusedError(PlannerError):
    """An answer that the evidence does not carry."""


class DoesNotFitError(PlannerError):
    """No memory, money or time for it."""


class NoReferenceDataError(PlannerError):
    """Reference data that is not there."""


class LedgerError(PlannerError):
    """A forecast that would be changed after it was written, or a ledger that was."""
