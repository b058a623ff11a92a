"""A database that is restored from an older copy: no number means two jobs, and no placement another's end."""

import shutil
from pathlib import Path

import pytest
from fixtures_controller import FakeAgent, Served, serving

from batch.errors import LimitError


def submitted(served: Served, *names: str) -> list[str]:
    return served.submit(*({"name": name} for name in names))


def test_ids_that_an_agent_has_seen_are_not_given_out_again(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    with serving(home) as served:
        agent = FakeAgent(served)
        [kept] = submitted(served, "kept")
        agent.take()
        queue = agent.sync().queue
    shutil.copytree(home, copy)
    with serving(home) as served:
        agent.served = served
        lost = submitted(served, "lost one", "lost too")
        grants = agent.take(2)
        before = agent.sync()
    shutil.rmtree(home)
    shutil.copytree(copy, home)
    with serving(home) as served:
        agent.served = served
        answer = agent.sync()
        assert (answer.queue, answer.instance != before.instance) == (queue, True)
        # The two are of nobody here; they end, and no others have their ids.
        assert sorted(stop.uid for stop in answer.stop) == sorted(grant.uid for grant in grants)
        assert served.state(kept) == "launching"
        assert not set(submitted(served, "new one", "new too")) & {*lost, kept}
        assert served.service.queue.next_uid > max(grant.uid for grant in grants)
        with pytest.raises(LimitError, match="can be skipped at once"):
            served.service.queue.skip_uids(2**34)


def test_a_placement_is_above_those_that_a_restored_database_has_forgotten(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    with serving(home) as served:
        submitted(served, "a")
    shutil.copytree(home, copy)
    fences = []
    for folder in (home, copy):
        with serving(folder) as served:
            fences.append(FakeAgent(served).take()[0].fence)
    assert fences[0] < fences[1]
