"""A group of requests as one transaction: what the writer's thread does with each group."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from batch.database import Database
from batch.drawn_uids import DrawnUids
from batch.errors import StoreError
from batch.events import Event, TeamSet
from batch.forward_clock import ForwardClock
from batch.ledger import Ledger
from batch.memory import Memory, begin_epoch
from batch.model import Team
from batch.recording import record
from batch.writer import Request

_log = logging.getLogger(__name__)
Listener = Callable[[list[tuple[int, Event]]], None]
"""Gets the events of one commit with their seq, in order."""


class Committer:
    """Commits groups, one at a time, and tells the listener. Making one begins a new epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._listener: Listener | None = None
        self._heard = 0
        self._uids = DrawnUids(database.path)
        with database.write() as connection:
            self._memory: Memory = begin_epoch(connection, database.holder)
        self.clock = ForwardClock(clock, self._memory.last_time_s)
        self._memory.next_uid = self._uids.first(self._memory.next_uid)
        if not self._memory.teams:
            self._make_default_team()

    @property
    def epoch(self) -> int:
        """Return the number of this opening of the database."""
        return self._memory.epoch

    @property
    def next_uid(self) -> int:
        """Return the uid that is drawn next, as of the last commit."""
        return self._memory.next_uid

    def listen(self, listener: Listener, ledger: Ledger) -> int:
        """Tell `listener` what comes after this request, and return the seq before. Called by the writer's thread."""
        self._listener, self._heard = listener, ledger.last_seq
        return self._heard

    def close(self) -> None:
        """Note which uid comes next; after the last commit."""
        self._uids.end(self._memory.next_uid)

    def commit(self, group: list[Request[Ledger]]) -> None:
        """Write the group durably, tell the listener, and answer. A request that raises is not written.

        When the database refuses, nothing of the group is written and all of it gets the StoreError; the next group
        is tried again. What cannot be written at all is refused alone. Raises what the listener raises.
        """
        self._write([request for request in group if request.future.set_running_or_notify_cancel()])

    def _write(self, wanted: list[Request[Ledger]]) -> None:
        try:
            with self._database.write() as connection:
                ledger = Ledger(connection, self._memory, self.clock())
                ledger.fetch([item for request in wanted for item in request.reads])
                answers = [ledger.run(request.plan) for request in wanted]
                with self._database.translated():
                    self._uids.reserve(ledger.next_uid)
                ledger.finish()
        except StoreError as error:
            _refuse(wanted, error)
            return
        except Exception as defect:  # noqa: BLE001 - rolled back: what cannot be written must not stop the queue
            if len(wanted) > 1:  # one of them is to blame, and it is not known which
                for request in wanted:
                    self._write([request])
                return
            _log.exception("a commit failed in a way that nobody foresaw")
            _refuse(wanted, StoreError(f"nothing of this commit was written ({type(defect).__name__}): ask again"))
            return
        ledger.remember()
        try:
            news = [item for item in ledger.events if item[0] > self._heard]
            if self._listener is not None and news:
                self._listener(news)
        finally:
            for request, (result, refusal) in zip(wanted, answers, strict=True):
                _answer(request.future, result, refusal)

    def _make_default_team(self) -> None:
        request: Request[Ledger] = Request(
            lambda ledger: record(ledger, [TeamSet(time_s=ledger.now_s, team=Team(name="default"))]), 1, ()
        )
        self.commit([request])
        request.future.result(0)


def _refuse(requests: "list[Request[Ledger]]", error: StoreError) -> None:
    for request in requests:
        request.future.set_exception(error)


def _answer(future: "Future[Any]", result: Any, refusal: BaseException | None) -> None:
    if refusal is None:
        future.set_result(result)
    else:
        future.set_exception(refusal)
