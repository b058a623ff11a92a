"""From an exception in a worker to a value that says whose fault it was."""

import hashlib
import traceback

import torch
import torch.distributed as dist

from checkpoint.errors import ArenaError, CheckpointError, KeeperError, StoreError, StoreUnavailable
from recipes.errors import RecipeError, RecordCacheError, TargetRaisedError, UnreachableError
from trainer.errors import DeviceError, NonFiniteLossError, PeerLost, RunFolderError, TrainerError
from trainer.failures import Cause, EndKind, Failure, WorkerEnd

_UNANSWERED = (StoreUnavailable, KeeperError, UnreachableError)
_PEER_SIGNS = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused", "gloo")


def end_of(error: BaseException, *, rank: int, step: int | None, recovering: bool) -> WorkerEnd:
    """Return the end that `error`, raised at `step` (None: before the first), means for `rank`.

    `recovering`: the run has trained in this attempt before, so that what does not answer now did so once.
    """
    if _is_lost_peer(error):
        return WorkerEnd(rank, EndKind.PEER_LOST, step)
    cause = _cause_of(error, recovering=recovering)
    fingerprint = _fingerprint(error) if cause is Cause.USER_CODE else ""
    # Our own errors say what there is to say; a traceback through our files would only hide it.
    ours = isinstance(error, CheckpointError | RecipeError | TrainerError)
    message = str(error) if ours else f"{type(error).__name__}: {error}"
    shows_traceback = not ours or isinstance(error, TargetRaisedError)
    text = "".join(traceback.format_exception(error)) if shows_traceback else ""
    return WorkerEnd(rank, EndKind.FAILED, step, Failure(rank, cause, message, step, text, fingerprint))


def _is_lost_peer(error: BaseException) -> bool:
    if isinstance(error, PeerLost | dist.DistBackendError | dist.DistNetworkError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _PEER_SIGNS)


def _cause_of(error: BaseException, *, recovering: bool) -> Cause:
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return Cause.OUT_OF_MEMORY
    if isinstance(error, NonFiniteLossError | TargetRaisedError):
        return Cause.USER_CODE
    if isinstance(error, _UNANSWERED):
        # At the first start a wrong address is likelier than an outage: say so instead of trying for minutes.
        return Cause.INFRASTRUCTURE if recovering else Cause.ENVIRONMENT
    if isinstance(error, StoreError | ArenaError | RecordCacheError | RunFolderError | DeviceError):
        return Cause.ENVIRONMENT
    if isinstance(error, CheckpointError | RecipeError | TrainerError):
        return Cause.PERMANENT
    return Cause.USER_CODE


def _fingerprint(error: BaseException) -> str:
    """Identify a fault by its type and the lines it came through; messages may hold addresses and values."""
    parts = []
    cause: BaseException | None = error
    while cause is not None:
        frames = traceback.extract_tb(cause.__traceback__)
        parts += [type(cause).__qualname__, *(f"{frame.filename}:{frame.lineno}" for frame in frames)]
        cause = cause.__cause__
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
