"""What cannot be meant is refused before anything is written, with the value, what is allowed, and what to do."""

from typing import Any

import pytest
from fixtures_queue import command, sweep_of

from batch.errors import (
    AmbiguousIdError,
    BadRequestError,
    ConflictError,
    DependencyCycleError,
    NotFoundError,
)
from batch.job_queue import Queue
from batch.model import Cause, Dependency, JobSpec, Shape, SweepSpec
from batch.spec_checks import SPEC_LIMIT_BYTES


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (command(shape=Shape(0, 8)), "shape.nodes = 0: must be from 1 to 1000000"),
        (command(shape=Shape(1, -1)), "shape.gpus = -1: must be from 0 to 1000000"),
        (command(shape=Shape(1, 0, 0)), "neither GPUs nor CPUs"),
        (command("n" * 201), "name has 201 characters: at most 200"),
        (command(kind=""), "kind is empty"),
        (command(time_limit_s=0.0), "time_limit_s = 0.0: must be above 0"),
        (command(grace_s=-1.0), "grace_s = -1.0"),
        (command(retries={Cause.LAUNCH: -1}), "retries.launch = -1"),
        (command(payload={"x": {1, 2}}), "payload is not JSON"),
        (command(payload={"x": float("nan")}), "payload is not JSON"),
        (command(payload={"x": "y" * 10 * 2**20}), "has 10.0 MiB as JSON: at most 4 MiB"),
        (command(payload={"x": "ü" * (SPEC_LIMIT_BYTES // 2)}), "has 4.0 MiB as JSON"),
        (command(after=(Dependency(0),)), "after: must be uids above 0"),
        (command(after=(Dependency(-2),)), "after: must be uids above 0"),
    ],
)
def test_a_job_that_cannot_be_meant(queue: Queue, spec: JobSpec, words: str) -> None:
    before = queue.events()
    with pytest.raises(BadRequestError) as raised:
        queue.submit([spec])
    assert words in str(raised.value)
    assert queue.events() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axes": (("lr", ()),)}, "axis lr has no values"),
        ({"axes": (("a", tuple(map(str, range(1001)))), ("b", tuple(map(str, range(1000)))))}, "1001000 members"),
        ({"max_running": 0}, "max_running = 0"),
        ({"stop_if_failed": 20.0}, "must be a fraction from 0 to 1"),
        ({"template": command(after=(Dependency(-1),))}, "members cannot wait for one another"),
        ({"template": command(shape=Shape(-1))}, "sweep: template: shape.nodes = -1"),
    ],
)
def test_a_sweep_that_cannot_be_meant(queue: Queue, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        queue.submit_sweep(SweepSpec(**{"template": command(), "axes": (("lr", ("1",)),)} | changes))
    assert words in str(raised.value)
    assert queue.sweeps() == []


def test_jobs_of_one_submission_cannot_wait_for_one_another(queue: Queue) -> None:
    specs = [
        command("a", after=(Dependency(-2),)), command("b", after=(Dependency(-3),)),
        command("c", after=(Dependency(-1),)), command("d", after=(Dependency(-1),)),
    ]  # fmt: skip
    with pytest.raises(DependencyCycleError, match=r"jobs 0 .a., 1 .b., 2 .c. of the submission wait"):
        queue.submit(specs)
    with pytest.raises(DependencyCycleError):
        queue.submit([command(after=(Dependency(-1),))])
    assert queue.jobs() == []


def test_numbers_of_jobs_and_keys_are_bounded(queue: Queue) -> None:
    for specs in ([], [command()] * 10_001):
        with pytest.raises(BadRequestError, match="must be from 1 to 10000"):
            queue.submit(specs)
    for key in ("", "k" * 201):
        with pytest.raises(BadRequestError, match="must have from 1 to 200"):
            queue.submit([command()], key=key)
    with pytest.raises(BadRequestError, match="jobs of the teams a, b: submit those of each team alone"):
        queue.submit([command(team="a"), command(team="b")], key="k")


def test_dependencies_must_exist(queue: Queue) -> None:
    with pytest.raises(NotFoundError, match="after: 77 is no job or sweep"):
        queue.submit([command(after=(Dependency(77),))])
    with pytest.raises(NotFoundError, match="after: 77 is no job or sweep"):
        queue.submit_sweep(sweep_of(2, after=(Dependency(77),)))


def test_a_sweep_key_stands_for_one_content(queue: Queue) -> None:
    queue.submit_sweep(sweep_of(2, key="mine"))
    with pytest.raises(ConflictError, match="sweep key 'mine'"):
        queue.submit_sweep(sweep_of(3, key="mine"))


def test_what_is_not_there_is_named(queue: Queue) -> None:
    sweep = queue.submit_sweep(sweep_of(2, "grid"))
    for call in (queue.job, queue.sweep, queue.attempts, queue.hold, queue.cancel):
        with pytest.raises(NotFoundError):
            call(999)
    with pytest.raises(NotFoundError):
        queue.job(sweep)
    for text, words in {
        "zzzz": "no job or sweep has such an id or name", "": "no job or sweep", "grid.7": "the members 0 to 1",
        "none.1": "no sweep has such", "u.u": "no job or sweep",
    }.items():  # fmt: skip
        with pytest.raises(NotFoundError, match=words):
            queue.resolve(text)


def test_what_fits_several_is_listed(queue: Queue) -> None:
    uids = queue.submit([command("twin"), command("twin")] + [command() for _ in range(200)])
    with pytest.raises(AmbiguousIdError) as raised:
        queue.resolve("twin")
    assert all(f"{queue.job(uid).id} (twin)" in str(raised.value) for uid in uids[:2])
    queue.cancel(uids[0])
    assert queue.resolve("twin") == uids[1], "the one that is not over"
    with pytest.raises(AmbiguousIdError, match="give more of the id"):
        queue.resolve(queue.job(uids[5]).id[0])


def test_changes_must_say_something(queue: Queue) -> None:
    (uid,) = queue.submit([command()])
    with pytest.raises(BadRequestError, match="nothing to change: give one of tier"):
        queue.change(uid)
    with pytest.raises(BadRequestError, match="time_limit_s = -1"):
        queue.change(uid, time_limit_s=-1)
