"""What can go wrong with durable state.

CheckpointError
├── StoreError
│   ├── StoreUnavailable     no answer within the deadline, after retries
│   ├── StoreDenied          credentials or permissions
│   ├── StoreFull            no space, or a quota
│   └── ObjectMissing        no object under that key
├── DamagedError             bytes that do not match their checksum, or an object that is gone
├── FormatError              written by another version of the format
├── IncompleteError          a saved state that does not cover what is asked of it
├── FencedError              another, newer attempt owns the run: stop
├── AdapterError             an engine whose state cannot be named slice by slice
├── ArenaError               shared memory: too small, or not ours
└── KeeperError              the keeper process does not answer
    └── KeeperGoneError      it has died or hung up; another one may be started
"""


class CheckpointError(Exception):
    """Base of all errors of this package."""


class StoreError(CheckpointError):
    """A call to the store failed."""


class StoreUnavailable(StoreError):  # noqa: N818 - named for the state of the store
    """The store gave no answer within the deadline, after retries."""


class StoreDenied(StoreError):  # noqa: N818
    """The store refused: credentials or permissions."""


class StoreFull(StoreError):  # noqa: N818
    """No space, or a quota is used up."""


class ObjectMissing(StoreError):  # noqa: N818
    """There is no object under that key."""


class DamagedError(CheckpointError):
    """Stored bytes do not match their checksum, or an object that a commit names is gone."""


class FormatError(CheckpointError):
    """Written by another version of the format, which this version cannot read."""


class IncompleteError(CheckpointError):
    """The saved state does not cover what is asked of it."""


class FencedError(CheckpointError):
    """A newer attempt owns the run; this one must stop and may not commit."""


class AdapterError(CheckpointError):
    """The training engine holds state that cannot be enumerated as named flat slices."""


class ArenaError(CheckpointError):
    """Shared memory is too small, or its content is not ours."""


class KeeperError(CheckpointError):
    """The keeper process does not answer."""


class KeeperGoneError(KeeperError):
    """The keeper has died or closed the connection; another one may be started."""
