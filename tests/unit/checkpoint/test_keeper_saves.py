"""What a keeper does with offers: rank 0 decides, everybody hears, errors have names, one commit."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkpoint import keeper_saves
from checkpoint.arena import Arena, Layout
from checkpoint.arena_sets import ArenaSet, new_set
from checkpoint.commits import load_commit, usable_commits
from checkpoint.errors import StoreFull, StoreUnavailable
from checkpoint.fence import claim_fence
from checkpoint.keeper_protocol import SaveTarget
from checkpoint.keeper_saves import Offer, Saves
from checkpoint.layout import data_prefix
from checkpoint.manifest import Entry
from checkpoint.store_memory import MemoryStore

ELEMENTS = 64
DEADLINE_S = 20.0


class Node:
    """A keeper's saves on one node, with the ranks' arenas there, and all answers to the ranks."""

    def __init__(self, folder: Path, ranks: list[int], world_size: int, *, timeout_s: float = DEADLINE_S) -> None:
        folder.mkdir(exist_ok=True)
        self.found = new_set(folder, 1, 0)
        self.world_size = world_size
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.log: list[str] = []
        self._came = threading.Condition()
        self.arenas = {rank: self._arena(rank) for rank in ranks}
        target = SaveTarget("memory://", {}, 4096, timeout_s, 2, None)
        self.saves = Saves(self.found, world_size, target, self._answer, self.log.append)

    def _arena(self, rank: int) -> Arena:
        share = ELEMENTS // self.world_size
        mine = Entry("w", "fp32", "F32", (ELEMENTS,), rank * share, (rank + 1) * share)
        frozen = Entry("f", "frozen", "F32", (ELEMENTS,), rank * share, (rank + 1) * share)
        layout = Layout(rank, self.world_size, 1, 0, (mine, frozen), (0, mine.size_bytes))
        return Arena.create(self.found.path(rank), layout, meta_capacity=1000)

    def _answer(self, rank: int, message: dict[str, Any]) -> None:
        with self._came:
            self.answers.append((rank, message))
            self._came.notify_all()

    def snapshot(self, rank: int, step: int) -> Offer:
        arena = self.arenas[rank]
        slot = arena.free_slot()
        half = arena.layout.data_bytes // 2
        arena.begin(slot)[:] = bytes([step]) * half + b"\x01" * half
        arena.seal(slot, step, {"scalars": {}, "extra": {"step": step}})
        return Offer(rank, step, slot)

    def wait(self, count: int) -> list[tuple[int, dict[str, Any]]]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.answers) >= count, DEADLINE_S), (self.answers, self.log)
            return list(self.answers)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStore]:
    memory = MemoryStore()
    assert claim_fence(memory) == 1
    monkeypatch.setattr(keeper_saves, "open_store", lambda *_: memory)
    yield memory
    for thread in threading.enumerate():
        if thread.name.startswith(("save-", "publish")):
            thread.join(DEADLINE_S)
    assert memory.unfired == 0


def steps(store: MemoryStore) -> list[int]:
    return [info.step for info in usable_commits(store)]


def test_a_step_is_committed_when_all_ranks_are_durable(store: MemoryStore, tmp_path: Path) -> None:
    node = Node(tmp_path, [0, 1], 2)
    node.saves.offer(node.snapshot(1, 5))
    assert not node.saves.busy, "rank 0 has not decided"
    node.saves.offer(node.snapshot(0, 5))
    reports = dict(node.wait(2))
    assert {rank: (report["ok"], report["committed"]) for rank, report in reports.items()} == {
        0: (True, True),
        1: (True, False),
    }
    assert reports[0]["bytes"] == ELEMENTS * 4
    assert steps(store) == [5]


def test_an_offer_that_is_repeated_is_one_save(store: MemoryStore, tmp_path: Path) -> None:
    node = Node(tmp_path, [0, 1], 2)
    waiting = node.snapshot(1, 5)
    for offer in (waiting, waiting, node.snapshot(0, 5)):
        node.saves.offer(offer)
    node.wait(2)
    assert len([key for call, key in store.calls if call == "put_stream"]) == 2


def test_what_rank_0_passes_over_is_dropped(store: MemoryStore, tmp_path: Path) -> None:
    node = Node(tmp_path, [0, 1], 2)
    node.saves.offer(node.snapshot(1, 5))
    node.saves.decide(5, accepted=False)
    assert node.wait(1) == [(1, {"op": "dropped", "step": 5})]
    node.saves.decide(6, accepted=False)
    node.saves.offer(node.snapshot(1, 6))
    assert node.wait(2)[1] == (1, {"op": "dropped", "step": 6})
    assert steps(store) == []


def test_nodes_learn_of_the_decision_from_the_store(store: MemoryStore, tmp_path: Path) -> None:
    first, second = Node(tmp_path / "a", [0], 2), Node(tmp_path / "b", [1], 2)
    second.saves.offer(second.snapshot(1, 5))
    second.saves.look_up_decision()
    assert second.answers == []
    first.saves.offer(first.snapshot(0, 5))
    deadline = time.monotonic() + DEADLINE_S
    while not second.answers and time.monotonic() < deadline:
        second.saves.look_up_decision()
        time.sleep(0.01)
    assert first.wait(1)[0][1]["committed"]
    assert second.wait(1)[0][1]["ok"]
    assert steps(store) == [5]


def test_a_decision_to_skip_reaches_other_nodes(store: MemoryStore, tmp_path: Path) -> None:
    first, second = Node(tmp_path / "a", [0], 2), Node(tmp_path / "b", [1], 2)
    second.saves.offer(second.snapshot(1, 5))
    first.saves.decide(5, accepted=False)
    deadline = time.monotonic() + DEADLINE_S
    while not second.answers and time.monotonic() < deadline:
        second.saves.look_up_decision()
        time.sleep(0.01)
    assert second.wait(1) == [(1, {"op": "dropped", "step": 5})]


@pytest.mark.parametrize("error", [StoreFull("no space"), StoreUnavailable("no answer"), OSError(28, "ENOSPC")])
def test_a_failed_save_is_a_report_with_the_errors_name(
    store: MemoryStore, tmp_path: Path, error: BaseException
) -> None:
    node = Node(tmp_path, [0], 1)
    store.fail_put(error=error, prefix="data/")
    node.saves.offer(node.snapshot(0, 5))
    report = node.wait(1)[0][1]
    assert (report["ok"], report["committed"], report["error"]) == (False, False, type(error).__name__)
    assert str(error) in report["message"]
    node.saves.offer(node.snapshot(0, 6))
    assert node.wait(2)[1][1]["ok"], "the next save succeeds"
    assert steps(store) == [6]


def test_rank_0_does_not_wait_for_a_rank_that_failed(store: MemoryStore, tmp_path: Path) -> None:
    node = Node(tmp_path, [0, 1], 2, timeout_s=3600)
    store.fail_put(error=StoreFull("no space"), prefix=f"{data_prefix(5, 1)}r000001")
    node.saves.offer(node.snapshot(0, 5))
    node.saves.offer(node.snapshot(1, 5))
    reports = dict(node.wait(2))
    assert {rank: report["error"] for rank, report in reports.items()} == {0: "IncompleteError", 1: "StoreFull"}
    assert "rank 1, step 5: StoreFull: no space" in reports[0]["message"]
    node.saves.offer(node.snapshot(0, 6))
    node.saves.offer(node.snapshot(1, 6))
    assert all(report["ok"] for _, report in node.wait(4)[2:])


def test_a_rank_that_never_comes_ends_the_save_at_its_deadline(store: MemoryStore, tmp_path: Path) -> None:
    node = Node(tmp_path, [0], 2, timeout_s=0.3)
    node.saves.offer(node.snapshot(0, 5))
    report = node.wait(1)[0][1]
    assert report["error"] == "IncompleteError"
    assert "checkpoint.save_timeout_s" in report["message"]


def test_an_older_attempt_is_fenced_out(store: MemoryStore, tmp_path: Path) -> None:
    node = Node(tmp_path, [0], 1)
    assert claim_fence(store) == 2
    node.saves.offer(node.snapshot(0, 5))
    assert node.wait(1)[0][1]["error"] == "FencedError"
    assert steps(store) == []


def test_a_slot_that_was_overwritten_is_not_committed(store: MemoryStore, tmp_path: Path) -> None:
    node = Node(tmp_path, [0], 1)
    offer = node.snapshot(0, 5)
    node.arenas[0].begin(offer.slot)
    node.saves.offer(offer)
    assert node.wait(1)[0][1]["error"] == "IncompleteError"
    node.saves.offer(Offer(0, 9, offer.slot))
    assert node.wait(2)[1][1]["error"] == "IncompleteError"
    assert steps(store) == []


def test_retention_follows_each_commit_and_frozen_weights_are_written_once(
    store: MemoryStore, tmp_path: Path
) -> None:
    node = Node(tmp_path, [0], 1)
    for count, step in enumerate(range(1, 5), start=1):
        node.saves.offer(node.snapshot(0, step))
        node.wait(count)
        for thread in threading.enumerate():
            if thread.name == "save-r0":
                thread.join(DEADLINE_S)
    assert steps(store) == [4, 3]
    newest = load_commit(store, usable_commits(store)[0])
    origins = {key.split("/")[1].lstrip("0") for key in newest.objects()}
    assert origins == {"1", "4"}, "the frozen weights lie where the first save wrote them"


def test_the_set_may_be_gone(store: MemoryStore, tmp_path: Path) -> None:
    saves = Node(tmp_path, [0], 1)
    offer = saves.snapshot(0, 5)
    ArenaSet(1, 0, saves.found.folder).remove()
    saves.saves.offer(offer)
    assert saves.wait(1)[0][1]["error"] == "ArenaError"
