"""Bringing an engine back: all ranks agree on the newest snapshot that each of them can read, and read it."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from checkpoint import errors
from checkpoint.agreement import Ranks
from checkpoint.commits import list_commits, quarantine, usable_commits
from checkpoint.errors import CheckpointError, DamagedError, IncompleteError
from checkpoint.reader import CommitSource
from checkpoint.slot_source import SlotSource, slot_sources
from checkpoint.state import Json, Slice, SliceSource, StateAdapter
from checkpoint.store import Store

Origin = Literal["slot", "store"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What an engine was brought back to. `bytes` is what this rank read, `seconds` the whole restore on this rank.

    `damaged` tells of the newer candidates that were given up, one line each.
    """

    step: int
    extra: dict[str, Json]
    origin: Origin
    bytes: int
    seconds: float
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot that every rank can read: sealed slots of one set, or a commit (fence and generation are None)."""

    step: int
    origin: Origin
    fence: int | None = None
    generation: int | None = None


class Restorer:
    """Restores one engine. Every method is collective: all ranks call it, and all return or raise alike."""

    def __init__(
        self, adapter: StateAdapter, folder: Path, open_store: Callable[[], Store], fence: int, ranks: Ranks
    ) -> None:
        self._adapter = adapter
        self._folder = folder
        self._open_store = open_store
        self._fence = fence
        self._ranks = ranks

    def candidates(self) -> list[Candidate]:
        """Return what can be restored, newest first; of equal steps slots come before the store.

        Raises StoreError when rank 0 cannot list the store, unless this attempt's own slots can be used.
        """
        with self._slots(self._adapter.wanted()) as slots:
            return self._candidates(slots)

    def restore(self, step: int | None) -> Restored | None:
        """Fill the engine from the newest candidate, or from `step`. Returns None when there is nothing to restore.

        A damaged candidate is given up (in the store: quarantined) and the one before is used. Raises IncompleteError
        when `step` cannot be restored, or what was saved does not fit the model; DamagedError when all candidates are
        damaged; StoreError. After an error the engine holds no usable state.
        """
        began_s = time.monotonic()
        wanted = self._adapter.wanted()
        damaged: list[str] = []
        with self._slots(wanted) as slots:
            found = self._candidates(slots)
            chosen = [candidate for candidate in found if step is None or candidate.step == step]
            if step is not None and not chosen:
                raise IncompleteError(
                    f"step {step}: there is no such checkpoint; there are {sorted({c.step for c in found})}"
                )
            for candidate in chosen:
                source, size, failure = self._fill(candidate, slots, wanted)
                if failure is None:
                    assert source is not None
                    return replace(self._finish(candidate, source, size, began_s), damaged=tuple(damaged))
                damaged.append(f"{candidate.origin} of step {candidate.step}: {failure}")
        if damaged:
            raise DamagedError("no checkpoint is left to restore: " + "; ".join(damaged))
        return None

    @contextlib.contextmanager
    def _slots(self, wanted: Sequence[Slice]) -> Any:
        """Yield the slot sources that hold all that this rank wants, by (step, fence, generation)."""
        sources = slot_sources(self._folder)
        try:
            yield {(s.step, s.fence, s.generation): s for s in sources if s.covers(wanted)}
        finally:
            for source in sources:
                source.close()

    def _candidates(self, slots: dict[tuple[int, int, int], SlotSource]) -> list[Candidate]:
        commits, failure = self._list_commits() if self._ranks.rank == 0 else ([], None)
        answers = cast(
            "list[dict[str, Any]]",
            self._ranks.gather({"slots": [list(key) for key in slots], "commits": commits, "failure": failure}),
        )
        common = set.intersection(*({tuple(key) for key in answer["slots"]} for answer in answers))
        found = [Candidate(step, "slot", fence, generation) for step, fence, generation in common]
        if answers[0]["failure"] is not None:
            # Only slots of this very attempt are sure to be newer than anything that the store may hold.
            found = [candidate for candidate in found if candidate.fence == self._fence]
            if not found:
                raise _error(answers[0]["failure"])
        found += [Candidate(step, "store") for step in answers[0]["commits"]]
        return sorted(found, key=_rank_of, reverse=True)

    def _list_commits(self) -> tuple[list[Json], Json]:
        try:
            store = self._open_store()
            usable = usable_commits(store)
            if not usable and (damaged := list_commits(store)):
                raise DamagedError(
                    f"{store.url}: all {len(damaged)} checkpoints were found damaged; put back a copy, "
                    "or start the run anew under another name"
                )
            return [info.step for info in usable], None
        except CheckpointError as error:
            return [], [type(error).__name__, str(error)]

    def _fill(
        self, candidate: Candidate, slots: dict[tuple[int, int, int], SlotSource], wanted: Sequence[Slice]
    ) -> tuple[SliceSource | None, int, str | None]:
        """Fill the engine. Returns the source, the bytes read and None, or the damage that some rank found."""
        source: SliceSource | None = None
        size = 0
        outcome: Json = None
        try:
            source = self._source(candidate, slots)
            size = source.fill(wanted)
            source.scalars()
        except CheckpointError as error:
            outcome = [type(error).__name__, str(error)]
        answers = cast("list[list[str] | None]", self._ranks.gather(outcome))
        failures = [(name[0], f"rank {rank}: {name[1]}") for rank, name in enumerate(answers) if name]
        if not failures:
            return source, size, None
        for failure in failures:
            if failure[0] != DamagedError.__name__:
                raise _error(failure)
        reason = failures[0][1]
        if candidate.origin == "store" and self._ranks.rank == 0:
            with contextlib.suppress(CheckpointError):  # a mark that fails costs the next restore this detour again
                quarantine(self._open_store(), candidate.step, reason)
        return None, 0, reason

    def _source(self, candidate: Candidate, slots: dict[tuple[int, int, int], SlotSource]) -> SliceSource:
        if candidate.origin == "slot":
            assert candidate.fence is not None
            assert candidate.generation is not None
            return slots[candidate.step, candidate.fence, candidate.generation]
        store = self._open_store()
        for info in usable_commits(store):
            if info.step == candidate.step:
                return CommitSource(store, info)
        raise DamagedError(f"{store.url}: the commit of step {candidate.step} is gone")

    def _finish(self, candidate: Candidate, source: SliceSource, size: int, began_s: float) -> Restored:
        self._adapter.load_scalars(source.scalars())
        self._adapter.finish_load()
        extra = cast("dict[str, Json]", self._ranks.from_first(source.extra()))
        return Restored(candidate.step, extra, candidate.origin, size, time.monotonic() - began_s)


def _rank_of(candidate: Candidate) -> tuple[int, bool, int, int]:
    """Order candidates: newest step, slots before the store, newest set."""
    return candidate.step, candidate.origin == "slot", candidate.fence or 0, candidate.generation or 0


def _error(failure: Sequence[str]) -> CheckpointError:
    """Return the error that another rank told of, in its own class."""
    name, message = failure
    kind = getattr(errors, name, CheckpointError)
    error: CheckpointError = kind(message)
    return error


