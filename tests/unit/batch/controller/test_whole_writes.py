import asyncio
from collections.abc import Callable

import pytest

from batch.controller.whole_writes import WholeWrites


class Recorded(asyncio.Transport):
    """A transport that keeps what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done

    def pause_reading(self) -> None:
        self.done.append("paused")


@pytest.mark.parametrize("pieces", [[b"head", b"body"], [b"whole"]])
def test_what_is_written_in_one_turn_is_sent_as_one(pieces: list[bytes]) -> None:
    async def turns() -> list[bytes | str]:
        transport = Recorded()
        writes = WholeWrites(transport, asyncio.get_running_loop())
        for _ in range(2):
            for piece in pieces:
                writes.write(piece)
            await asyncio.sleep(0)
        return transport.done

    assert asyncio.run(turns()) == [b"".join(pieces)] * 2


def _after(act: Callable[[WholeWrites, Recorded], None]) -> list[bytes | str]:
    """Return what was done with a transport when the turn in which `act` is called has ended."""

    async def turn() -> list[bytes | str]:
        transport = Recorded()
        act(WholeWrites(transport, asyncio.get_running_loop()), transport)
        await asyncio.sleep(0)
        return transport.done

    return asyncio.run(turn())


def test_what_was_written_is_sent_before_the_connection_is_closed() -> None:
    def refuse(writes: WholeWrites, _: Recorded) -> None:
        writes.write(b"refused")
        writes.close()

    assert _after(refuse) == [b"refused", "closed"]


def test_nothing_is_sent_to_whoever_has_gone_meanwhile() -> None:
    def answer_late(writes: WholeWrites, transport: Recorded) -> None:
        writes.write(b"late")
        transport.close()

    assert _after(answer_late) == ["closed"]


def test_all_else_is_the_transports() -> None:
    assert _after(lambda writes, _: writes.pause_reading()) == ["paused"]
