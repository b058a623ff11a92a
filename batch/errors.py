"""What can go wrong in the queue. Each carries what, where, the value, what is allowed and the next step in its text.

BatchQueueError
├── BadRequestError          a specification that cannot be meant: shape, team, tier, dependency, size, grammar
│   ├── ImpossibleShapeError no node of any pool could ever hold it
│   ├── DependencyCycleError jobs that would wait for one another
│   └── BadTraceError        a recorded trace that is missing, or has a line that cannot be meant
├── NotFoundError            no such job, sweep, team, pool or token
├── AmbiguousIdError         an abbreviation that fits several
├── ConflictError            the thing is not in a state for that: a finished job held, an idempotency key used for
│   │                        something else
│   ├── IllegalMoveError     a state change that the table of moves does not allow
│   ├── StaleFenceError      an agent or attempt speaks for a placement that is over
│   └── PoolTakenError       another agent, which lives, has the pool
├── NotAllowedError          a token that is missing, expired or of a role that may not do it
├── LimitError               over a rate limit or a limit of the team: try again later
├── StoreError               the database cannot be opened, locked, read or written
│   ├── StoreFullError       no space: nothing was acknowledged
│   └── StoreInUseError      another controller has it
└── ControllerError
    ├── ControllerUnreachable no controller answers at that address
    └── LaunchError          an attempt could not be started on its pool
"""


class BatchQueueError(Exception):
    """Base of all errors of this package."""


class BadRequestError(BatchQueueError):
    """A specification that cannot be meant."""


class ImpossibleShapeError(BadRequestError):
    """No node of any pool could ever hold it."""


class DependencyCycleError(BadRequestError):
    """Jobs that would wait for one another."""


class BadTraceError(BadRequestError):
    """A recorded trace is missing, or has a line that cannot be meant."""


class NotFoundError(BatchQueueError):
    """No such job, sweep, team, pool or token."""


class AmbiguousIdError(BatchQueueError):
    """An abbreviation that fits several ids."""


class ConflictError(BatchQueueError):
    """The thing is not in a state for that."""


class IllegalMoveError(ConflictError):
    """A state change that the table of moves does not allow."""


class StaleFenceError(ConflictError):
    """An agent or an attempt speaks for a placement that is over."""


class PoolTakenError(ConflictError):
    """Another agent, which lives, has the pool."""


class NotAllowedError(BatchQueueError):
    """A token that is missing, expired, or of a role that may not do it."""


class LimitError(BatchQueueError):
    """Over a rate limit, or over a limit of the team. `retry_after_s` says when to try again, where that is known."""

    retry_after_s: float | None = None


class StoreError(BatchQueueError):
    """The database cannot be opened, read or written."""


class StoreFullError(StoreError):
    """No space on the disk; nothing was acknowledged."""


class StoreInUseError(StoreError):
    """Another controller has the database."""


class ControllerError(BatchQueueError):
    """The controller or one of its agents."""


class ControllerUnreachable(ControllerError):  # noqa: N818 - named for the state of the controller
    """No controller answers at that address."""


class LaunchError(ControllerError):
    """An attempt could not be started on its pool."""
