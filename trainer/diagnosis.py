"""From an exception in a worker to a value that says whose fault it was."""

import hashlib
import traceback

import torch
import torch.distributed as dist

from checkpoint.errors import CheckpointError, FencedError
from recipes.errors import RecipeError
from trainer.errors import NonFiniteLossError, PeerLost, TrainerError
from trainer.failures import Cause, EndKind, Failure, WorkerEnd

_PEER_SIGNS = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused", "gloo")


def end_of(error: BaseException, *, rank: int, step: int | None) -> WorkerEnd:
    """Return the end that `error`, raised at `step` (None: before the first), means for `rank`."""
    if _is_lost_peer(error):
        return WorkerEnd(rank, EndKind.PEER_LOST, step)
    cause = _cause_of(error)
    shows_traceback = cause in {Cause.USER_CODE, Cause.OUT_OF_MEMORY}
    text = "".join(traceback.format_exception(error)) if shows_traceback else ""
    fingerprint = _fingerprint(error) if cause is Cause.USER_CODE else ""
    message = f"{type(error).__name__}: {error}"
    return WorkerEnd(rank, EndKind.FAILED, step, Failure(rank, cause, message, step, text, fingerprint))


def _is_lost_peer(error: BaseException) -> bool:
    if isinstance(error, PeerLost | dist.DistBackendError | dist.DistNetworkError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _PEER_SIGNS)


def _cause_of(error: BaseException) -> Cause:
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return Cause.OUT_OF_MEMORY
    if isinstance(error, NonFiniteLossError):
        return Cause.USER_CODE
    # What these name does not change by trying again: configuration, data, another owner of the run.
    if isinstance(error, FencedError | RecipeError | TrainerError):
        return Cause.PERMANENT
    if isinstance(error, CheckpointError):
        return Cause.INFRASTRUCTURE
    return Cause.USER_CODE


def _fingerprint(error: BaseException) -> str:
    """Identify a fault by its type and the lines it came through; messages may hold addresses and values."""
    frames = traceback.extract_tb(error.__traceback__)
    parts = [type(error).__qualname__, *(f"{frame.filename}:{frame.lineno}" for frame in frames)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
