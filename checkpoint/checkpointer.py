"""The face of the package: snapshots each step, durable saves now and then, and the way back. Knows no Ray."""

import time
from collections.abc import Mapping
from pathlib import Path

from checkpoint.agreement import Ranks
from checkpoint.arena import Arena, Layout
from checkpoint.arena_sets import list_sets, new_set, run_folder
from checkpoint.config import CheckpointConfig
from checkpoint.errors import CheckpointError, KeeperError, KeeperGoneError
from checkpoint.keeper_client import KeeperClient
from checkpoint.keeper_protocol import Hello, SaveReport, SaveTarget
from checkpoint.restore import Candidate, Restored, Restorer
from checkpoint.snapshot import Snapshotter, plan_layout
from checkpoint.state import Json, StateAdapter
from checkpoint.store import Store
from checkpoint.stores import open_store

_META_BYTES = 2**20
"""Room for scalars and `extra` beyond four times what the scalars take now."""
_POLL_S = 0.25


class Checkpointer:
    """Durable state of one rank of a run.

    Every rank makes one, after its engine is built and, where there are several, after torch.distributed is
    initialised. `restore` is collective; all else is rank-local and uses no collective. `fence` comes from
    `claim_fence`, once for all ranks; a restart of workers under the same fence has a higher `generation`. Used by
    one thread.
    """

    def __init__(  # noqa: PLR0913 - who it is, and where its state goes: all of it must be said
        self,
        adapter: StateAdapter,
        config: CheckpointConfig,
        *,
        url: str,
        run: str,
        rank: int,
        world_size: int,
        fence: int,
        generation: int = 0,
        log_path: Path | None = None,
    ) -> None:
        """Start the node's keeper if there is none, and lay out this rank's arena.

        Blocks for the start of the keeper (below a second) and the allocation of the arena. Raises ArenaError when
        shared memory is too small or was laid out before, KeeperError, AdapterError.
        """
        self._adapter = adapter
        self._config = config
        # The keeper runs in another folder.
        self._url = url if "://" in url else str(Path(url).absolute())
        self._rank = rank
        self._fence = fence
        self._store: Store | None = None
        self._reports: list[SaveReport] = []
        self._pending: dict[int, int] = {}
        """Requested saves: step to slot. Each slot is pinned until the keeper has answered."""
        self.durable_step: int | None = None
        """Newest step that this checkpointer has been told is committed."""
        self._folder = run_folder(config.arena_folder, run)
        target = SaveTarget(
            url=self._url,
            storage_options=dict(config.storage_options),
            segment_bytes=config.segment_bytes,
            save_timeout_s=config.save_timeout_s,
            keep_last=config.keep_last,
            keep_every_steps=config.keep_every_steps,
        )
        log = str(Path(log_path).absolute()) if log_path else None
        hello = Hello(rank, world_size, fence, generation, target, log)
        layout = plan_layout(adapter.owned(), rank=rank, world_size=world_size, fence=fence, generation=generation)
        # The keeper first: it removes the folders of runs that nobody is connected for.
        self._keeper = KeeperClient(self._folder, hello, linger_s=config.linger_s)
        try:
            self._arena = self._create_arena(layout)
        except BaseException:
            self._keeper.close()
            raise
        self._snapshotter = Snapshotter(adapter, self._arena, hash_data=config.hash_snapshots)

    def snapshot(self, step: int, extra: Mapping[str, Json]) -> None:
        """Copy the state after `step` into shared memory, where it survives this process.

        Blocking: one memcpy of this rank's state; never waits for the store or another rank. `extra` is small JSON
        that does not depend on the rank. Raises ArenaError, AdapterError; older snapshots stay whole.
        """
        self._listen(0.0)
        self._snapshotter.take(step, extra)

    def save(self) -> bool:
        """Ask for the newest snapshot to be made durable, and return at once; the outcome comes by `reports`.

        Every rank calls it after the same steps. Rank 0 decides: False there means that the save before is still
        being written, and this one is skipped (with `when_busy = "wait"` it waits instead). Elsewhere True only says
        that the snapshot was offered. A step that is durable already is not saved again.
        """
        self._listen(0.0)
        sealed = self._arena.sealed()
        if not sealed:
            raise CheckpointError("nothing to save: call snapshot first")
        newest = sealed[0]
        if newest.step in self._pending or newest.step == self.durable_step:
            return True
        # Two may be pending elsewhere than on rank 0: one being written, and one that rank 0 has yet to decide about.
        limit = 1 if self._rank == 0 else 2
        if len(self._pending) >= limit and self._config.when_busy == "wait":
            self._wait_for(limit - 1, self._config.save_timeout_s)
        if len(self._pending) >= limit:
            if self._rank == 0:
                self._tell({"op": "skip", "step": newest.step})
            return False
        self._pending[newest.step] = newest.slot
        self._arena.pinned.add(newest.slot)
        return self._tell({"op": "save", "step": newest.step, "slot": newest.slot})

    def reports(self) -> list[SaveReport]:
        """Return the saves that have ended since the last call. Non-blocking, a few microseconds."""
        self._listen(0.0)
        reports, self._reports = self._reports, []
        return reports

    def wait(self, timeout_s: float) -> list[SaveReport]:
        """Return the reports once nothing is in flight. Raises KeeperError after `timeout_s`."""
        self._wait_for(0, timeout_s)
        return self.reports()

    def candidates(self) -> list[Candidate]:
        """Return what `restore` can choose from, newest first. Collective, like `restore`."""
        return self._restorer().candidates()

    def restore(self, step: int | None = None) -> Restored | None:
        """Bring the engine back to the newest snapshot that every rank can read, or to `step`; None without any.

        Collective over torch.distributed's default group; blocking. Called once, before the first snapshot. Sealed
        slots of this node are preferred to commits of the same step. Afterwards the engine is as after that step. See
        `Restorer.restore` for the errors.
        """
        return self._restorer().restore(step)

    def close(self, retire: bool) -> None:
        """Let go of keeper and arena. With `retire` the run is finished: its snapshots in memory are removed.

        Saves in flight are finished by the keeper in any case, but nobody hears of them: `wait` first.
        """
        if retire:
            self._tell({"op": "retire"})
        self._keeper.close()
        self._arena.close()

    def _create_arena(self, layout: Layout) -> Arena:
        older = sum(found.size_bytes() for found in list_sets(self._folder))
        path = new_set(self._folder, layout.fence, layout.generation).path(layout.rank)
        room = _META_BYTES + 4 * len(str(self._adapter.scalars()))
        return Arena.create(path, layout, meta_capacity=room, reclaimable_bytes=older)

    def _restorer(self) -> Restorer:
        return Restorer(self._adapter, self._folder, self._open_store, self._fence, Ranks())

    def _open_store(self) -> Store:
        if self._store is None:
            self._store = open_store(self._url, self._config.storage_options)
        return self._store

    def _wait_for(self, allowed: int, timeout_s: float) -> None:
        """Wait until at most `allowed` saves are pending."""
        deadline_s = time.monotonic() + timeout_s
        while len(self._pending) > allowed:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise KeeperError(
                    f"keeper {self._keeper.pid} of {self._folder}: the save of step {min(self._pending)} has not ended "
                    f"within {timeout_s:g} s; look at its log and at the store {self._url}"
                )
            self._listen(min(left_s, _POLL_S))

    def _listen(self, timeout_s: float) -> None:
        """Take in what the keeper says. When it is gone and saves are pending, ask another one for them."""
        try:
            messages = self._keeper.receive(timeout_s)
        except KeeperGoneError:
            if self._pending:
                self._replace_keeper()
            return
        for message in messages:
            slot = self._pending.pop(message["step"], None)
            if slot is not None:
                self._arena.pinned.discard(slot)
            if message["op"] == "report":
                report = SaveReport(**{key: value for key, value in message.items() if key != "op"})
                self._reports.append(report)
                if report.ok:
                    self.durable_step = report.step

    def _tell(self, message: Mapping[str, Json]) -> bool:
        """Send one message, to another keeper if need be. False, with failed reports, when there is none."""
        try:
            self._keeper.send(message)
        except KeeperGoneError:
            return self._replace_keeper()
        return True

    def _replace_keeper(self) -> bool:
        """Start another keeper and ask it for the pending saves, whose slots are still pinned and sealed."""
        try:
            self._keeper.reconnect()
            for step, slot in self._pending.items():
                self._keeper.send({"op": "save", "step": step, "slot": slot})
        except KeeperError as error:
            for step, slot in self._pending.items():
                self._arena.pinned.discard(slot)
                self._reports.append(SaveReport(step, False, type(error).__name__, str(error), 0, 0.0, False))
            self._pending.clear()
            return False
        return True
