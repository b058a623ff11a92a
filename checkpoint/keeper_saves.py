"""What a keeper does with the slots of one set of workers: makes them durable, and commits. Knows no torch.

Rank 0 decides which steps are saved. The other ranks offer their slots; an offer is carried out when rank 0 has
accepted its step and dropped when it has passed it over, so that the ranks never save different steps. On rank 0's
node the decision is known at once; keepers of other nodes read it from the store, where rank 0's keeper leaves it.
"""

import contextlib
import json
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from checkpoint import layout
from checkpoint.arena import Arena, Layout, Seal
from checkpoint.arena_sets import ArenaSet
from checkpoint.commits import CommitView, load_commit, usable_commits
from checkpoint.errors import CheckpointError, DamagedError, IncompleteError, ObjectMissing
from checkpoint.keeper_protocol import SaveReport, SaveTarget
from checkpoint.manifest import Entry
from checkpoint.persist import RankState, commit_when_complete, write_rank
from checkpoint.state import FROZEN
from checkpoint.store import Store
from checkpoint.stores import open_store
from checkpoint.sweep import sweep

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
_SWEEP_MARGIN_S = 300.0

Log = Callable[[str], None]
Answer = Callable[[int, dict[str, Any]], None]
"""Called with a rank and a message for it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A rank's sealed slot that may be made durable."""

    rank: int
    step: int
    slot: int


@dataclass(slots=True)
class _Decision:
    """The last step that rank 0 accepted, and the last that it decided about."""

    accepted: int = -1
    decided: int = -1

    def note(self, step: int, *, accepted: bool) -> None:
        self.decided = step
        if accepted:
            self.accepted = step


@dataclass(slots=True)
class _Save:
    """A save that is being carried out on this node."""

    offer: Offer
    began_s: float = field(default_factory=time.monotonic)


class Saves:
    """The saves of one set on this node. Safe to call from several threads; carries saves out in threads of its own.

    It does not end with the workers: what was accepted is finished, and what was offered is settled.
    """

    def __init__(self, found: ArenaSet, world_size: int, target: SaveTarget, answer: Answer, log: Log) -> None:
        self.found = found
        self._world_size = world_size
        self._target = target
        self._answer = answer
        self._log = log
        self._changed = threading.Condition()
        self._decision = _Decision()
        self._offers: list[Offer] = []
        self._running: list[_Save] = []
        self._failed: dict[int, str] = {}
        self._store: Store | None = None
        self._parent: CommitView | None = None
        self._sweeping = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a save is being carried out."""
        with self._changed:
            return bool(self._running)

    def offer(self, offer: Offer) -> None:
        """Take a rank's offer; from rank 0 it is the decision to save that step."""
        with self._changed:
            known = [save.offer for save in self._running] + self._offers
            if offer in known:
                return
            self._offers.append(offer)
        if offer.rank == 0:
            self.decide(offer.step, accepted=True)
        else:
            self._settle()

    def decide(self, step: int, *, accepted: bool) -> None:
        """Note rank 0's decision about `step`, tell the other nodes, and settle what was offered."""
        with self._changed:
            self._decision.note(step, accepted=accepted)
        self._settle()
        if len(self.found.ranks()) < self._world_size:
            threading.Thread(target=self._publish, name="publish", daemon=True).start()

    def look_up_decision(self) -> None:
        """Learn rank 0's decision from the store while offers wait for it. Called now and then; blocking."""
        with self._changed:
            if not self._offers or 0 in self.found.ranks():
                return
        try:
            saved = json.loads(self._open().get(self._decision_key()))
        except ObjectMissing:
            return
        except CheckpointError as error:
            self._log(f"cannot read rank 0's decision: {type(error).__name__}: {error}")
            return
        with self._changed:
            self._decision = _Decision(saved["accepted"], saved["decided"])
        self._settle()

    def _decision_key(self) -> str:
        return layout.decision_key(self.found.fence, self.found.generation)

    def _publish(self) -> None:
        with self._changed:
            content = {"accepted": self._decision.accepted, "decided": self._decision.decided}
        try:
            self._open().put(self._decision_key(), json.dumps(content).encode())
        except CheckpointError as error:
            self._log(f"cannot tell the other nodes of {content}: {type(error).__name__}: {error}")

    def _settle(self) -> None:
        """Start the offers that rank 0 accepted, drop those that it passed over, keep the others."""
        with self._changed:
            accepted = [offer for offer in self._offers if offer.step == self._decision.accepted]
            dropped = [o for o in self._offers if o.step <= self._decision.decided and o not in accepted]
            self._offers = [o for o in self._offers if o not in accepted and o not in dropped]
            saves = [_Save(offer) for offer in accepted]
            for offer in accepted:
                self._failed.pop(offer.rank, None)
            self._running.extend(saves)
        for save in saves:
            threading.Thread(target=self._carry_out, args=(save,), name=f"save-r{save.offer.rank}").start()
        for offer in dropped:
            self._answer(offer.rank, {"op": "dropped", "step": offer.step})

    def _carry_out(self, save: _Save) -> None:
        """Make one slot durable; on rank 0 commit the step too. Whatever happens, the rank gets a report."""
        offer = save.offer
        report = self._attempt(save)
        with self._changed:
            self._running.remove(save)
            if not report.ok:
                self._failed[offer.rank] = f"step {offer.step}: {report.error}: {report.message}"
            self._changed.notify_all()
        outcome = "durable" if report.ok else f"FAILED: {report.error}: {report.message}"
        self._log(f"rank {offer.rank}, step {offer.step}: {outcome} ({report.bytes} bytes, {report.seconds:.3f} s)")
        self._answer(offer.rank, {"op": "report", **asdict(report)})
        if report.committed:
            self._sweep()

    def _attempt(self, save: _Save) -> SaveReport:
        step, size = save.offer.step, 0
        try:
            size = self._write(save.offer)
            committed = save.offer.rank == 0
            if committed:
                self._commit(save)
            return SaveReport(step, True, None, "", size, time.monotonic() - save.began_s, committed)
        except Exception as error:  # noqa: BLE001 - the report carries it to the trainer
            if not isinstance(error, CheckpointError):
                self._log(traceback.format_exc())
            seconds = time.monotonic() - save.began_s
            return SaveReport(step, False, type(error).__name__, str(error), size, seconds, False)

    def _write(self, offer: Offer) -> int:
        """Write the slot's segments and manifest. Return the bytes of tensor data."""
        arena = Arena.open(self.found.path(offer.rank))
        try:
            seal = arena.read_seal(offer.slot)
            if seal is None or seal.step != offer.step:
                raise IncompleteError(f"{arena.path}: slot {offer.slot} does not hold step {offer.step} any more")
            write_rank(
                self._open(),
                _rank_state(arena, seal),
                segment_bytes=self._target.segment_bytes,
                parent=self._unchanged_in(arena.layout.entries),
            )
            if not arena.intact(seal):
                raise DamagedError(f"{arena.path}: slot {offer.slot} was overwritten while it was saved")
            return seal.data_bytes
        finally:
            arena.close()

    def _commit(self, save: _Save) -> None:
        """Commit as soon as every rank's manifest is there.

        Raises IncompleteError at the deadline, or at once when a rank of this node has failed.
        """
        step, deadline_s = save.offer.step, save.began_s + self._target.save_timeout_s
        pause_s = _FIRST_PAUSE_S
        while commit_when_complete(self._open(), step, self.found.fence, self._world_size) is None:
            with self._changed:
                failed = {r: text for r, text in self._failed.items() if text.startswith(f"step {step}:")}
                if failed:
                    raise IncompleteError(f"not committed: rank {min(failed)}, {failed[min(failed)]}")
                if time.monotonic() > deadline_s:
                    raise IncompleteError(
                        f"not committed: manifests of some of the {self._world_size} ranks are missing after "
                        f"{self._target.save_timeout_s:g} s (checkpoint.save_timeout_s)"
                    )
                self._changed.wait(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    def _unchanged_in(self, entries: Sequence[Entry]) -> CommitView | None:
        """Return the newest commit when it may hold frozen weights that need not be written again."""
        if not any(entry.kind == FROZEN for entry in entries):
            return None
        store = self._open()
        newest = next(iter(usable_commits(store)), None)
        if newest is None:
            return None
        with self._changed:
            if self._parent is not None and self._parent.info.key == newest.key:
                return self._parent
        with contextlib.suppress(DamagedError):
            view = load_commit(store, newest)
            with self._changed:
                self._parent = view
            return view
        return None

    def _sweep(self) -> None:
        """Apply retention and remove garbage. What fails here is tried again after the next commit."""
        target = self._target
        if not self._sweeping.acquire(blocking=False):
            return
        try:
            swept = sweep(
                self._open(),
                keep_last=target.keep_last,
                keep_every_steps=target.keep_every_steps,
                grace_s=target.save_timeout_s + _SWEEP_MARGIN_S,
            )
        except CheckpointError as error:
            self._log(f"sweep: {type(error).__name__}: {error}")
            return
        finally:
            self._sweeping.release()
        if swept.steps or swept.num_objects or swept.num_uploads:
            self._log(f"sweep: {swept}")

    def _open(self) -> Store:
        """Return the store, opened at the first use: an unreachable one fails a save, not the keeper."""
        with self._changed:
            if self._store is None:
                self._store = open_store(self._target.url, self._target.storage_options)
            return self._store


def _rank_state(arena: Arena, seal: Seal) -> RankState:
    layout: Layout = arena.layout
    meta = arena.meta(seal)
    return RankState(
        step=seal.step,
        rank=layout.rank,
        world_size=layout.world_size,
        fence=layout.fence,
        entries=layout.entries,
        buffers=arena.entry_data(seal.slot),
        scalars=meta["scalars"],
        extra=meta["extra"],
    )
