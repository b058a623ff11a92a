"""Random processes of one real run are killed at random moments, one after the other; nothing of it may show."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterable

import psutil
import pytest

from tests.cluster.conftest import MakePlan, make_plan, one_ray
from tests.cluster.runs import Fault, final_state, train
from trainer.run_folder import RunFolder

__all__ = ["make_plan", "one_ray"]
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("one_ray"), pytest.mark.timeout(900)]
RANKS = 2
Kill = Callable[[RunFolder, random.Random], None]


def one_rank(folder: RunFolder, generator: random.Random) -> None:
    kill(generator.choice(rank_pids(folder)))


def all_ranks(folder: RunFolder, generator: random.Random) -> None:
    for pid in rank_pids(folder):
        kill(pid)


def keeper(folder: RunFolder, generator: random.Random) -> None:
    lines = command_lines(psutil.process_iter())
    found = [pid for pid, line in lines.items() if "checkpoint.keeper" in line and f"/{folder.name}-" in line]
    assert found
    for pid in found:
        kill(pid)


def supervisor(folder: RunFolder, generator: random.Random) -> None:
    """Of all supervisors of this Ray there is one that trains: runs follow one another."""
    found = actor_pids("_SupervisorProcess")
    assert found
    for pid in found:
        kill(pid)


def all_ranks_and_whoever_recovers(folder: RunFolder, generator: random.Random) -> None:
    """Kill the ranks, and a little later, while they are replaced, one of the processes that are there then."""
    all_ranks(folder, generator)
    time.sleep(generator.uniform(0.0, 6.0))
    kill(generator.choice(actor_pids("_WorkerProcess") + actor_pids("_SupervisorProcess")))


def actor_pids(name: str) -> list[int]:
    """Return the processes of this Ray that serve actors of class `name`: Ray writes it into their titles."""
    return [pid for pid, words in command_lines(psutil.Process().children(recursive=True)).items() if name in words]


def command_lines(processes: Iterable[psutil.Process]) -> dict[int, str]:
    """Return the command line of each process that still lives."""
    lines = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            lines[process.pid] = " ".join(process.cmdline())
    return lines


def rank_pids(folder: RunFolder) -> list[int]:
    record = folder.record()
    assert record is not None
    return [worker.pid for worker in record.workers]


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it died of an earlier kill, or its work is done
        return


def faults(generator: random.Random, kills: list[Kill], steps: int) -> list[Fault]:
    """Return one fault for each kill, spread over the run; the moment within the step is random too."""
    generator.shuffle(kills)
    span = steps // (len(kills) + 1)
    return [
        _fault(each, (number + 1) * span + generator.randrange(-span // 3, span // 3), generator)
        for number, each in enumerate(kills)
    ]


def _fault(each: Kill, after_step: int, generator: random.Random) -> Fault:
    delay_s = generator.uniform(0.0, 0.05)

    def act(folder: RunFolder) -> None:
        time.sleep(delay_s)
        each(folder, generator)

    return Fault(after_step, act)


def compare(make_plan: MakePlan, seed: int, kills: list[Kill], steps: int) -> None:
    overrides = [f"cluster.workers={RANKS}", f"engine=zero{seed % 3 + 1}", f"run.steps={steps}"]
    overrides.append("checkpoint.every_steps=5")
    calm, stormy = make_plan(f"calm-{seed}", *overrides), make_plan(f"stormy-{seed}", *overrides)
    expected = train(calm)
    disturbed = train(stormy, faults(random.Random(seed), kills, steps))
    assert len(disturbed.named("supervisor_restarted")) >= kills.count(supervisor)
    assert [expected.outcome.state, disturbed.outcome.state] == ["finished", "finished"], disturbed.outcome.reason
    assert list(expected.losses) == list(range(1, steps + 1))
    assert disturbed.losses == expected.losses
    assert final_state(stormy) == final_state(calm)


def test_one_of_everything(make_plan: MakePlan) -> None:
    compare(make_plan, seed=2, kills=[one_rank, all_ranks, keeper, supervisor], steps=40)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 9))
def test_many_of_everything(seed: int, make_plan: MakePlan) -> None:
    kills = [one_rank, all_ranks, keeper, supervisor, all_ranks_and_whoever_recovers] * 2
    compare(make_plan, seed=seed, kills=kills, steps=240)
