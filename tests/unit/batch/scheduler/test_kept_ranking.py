"""What is kept from one decision to the next changes nothing: after any legal events it is as if worked out anew."""

from collections import Counter
from dataclasses import fields
from unittest import mock

import numpy as np
import test_scheduler_machine as machine
from fixtures_scheduler import Fleet, Tier
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import invariant, rule

from batch import events
from batch.scheduler import ranking, why
from batch.scheduler.state import SchedulerState

TEAMS = "abcdefgh"


def assert_as_anew(state: SchedulerState) -> None:
    """Rank twice, with and without what is kept, and compare to the last bit."""
    tables, kept = (state.running.table, state.roster.waiting.table), state.pieces
    touched = [set(table.touched) for table in tables]
    state.pieces = None
    anew = ranking.rank(state, state.clock_s)
    state.pieces = kept
    for table, shares in zip(tables, touched, strict=True):
        table.touched.update(shares)
    got = ranking.rank(state, state.clock_s)
    for column in fields(anew):
        np.testing.assert_array_equal(getattr(got, column.name), getattr(anew, column.name), err_msg=column.name)


def assert_accounts_of_what_runs(state: SchedulerState) -> None:
    """Compare what is kept of bundles, of nodes and of teams with the places of all running jobs."""
    bundles, used = Counter[tuple[int, ...]](), [0] * len(state.shares.teams)
    free = [(pool.gpus.copy(), pool.cpus.copy()) for pool in state.pools]
    for row, job in enumerate(state.running.records):
        assert job.placement is not None
        used[job.team] += job.profile.chips
        for node in job.placement.nodes:
            bundles[row, job.placement.pool, node] += 1
            free[job.placement.pool][0][node] -= job.profile.shape.gpus
            free[job.placement.pool][1][node] -= job.profile.shape.cpus
    known = state.running.bundles()
    assert Counter(zip(known.row.tolist(), known.pool.tolist(), known.node.tolist(), strict=True)) == bundles
    assert state.shares.team_used == used
    for pool, (gpus, cpus) in zip(state.pools, free, strict=True):
        np.testing.assert_array_equal(pool.free_gpus, gpus)
        np.testing.assert_array_equal(pool.free_cpus, cpus)
    for profile in state.roster.profiles:
        hosts = state.hosts.pools(profile.number)
        parts = [pool.admits(profile.shape) & (at in hosts) for at, pool in enumerate(state.pools)]
        np.testing.assert_array_equal(state.hosts.nodes(profile.number), np.concatenate(parts))


class KeptRanking(machine.SchedulerMachine):
    """The same users, more teams and deadlines, and a ranking that is kept however little there is."""

    def __init__(self) -> None:
        self.patch = mock.patch.object(ranking, "_FEW", 0)
        self.patch.start()
        super().__init__()
        for team in TEAMS:
            self.queue.submit(team=team)

    def teardown(self) -> None:
        self.patch.stop()

    @rule(team=st.sampled_from(TEAMS), gpus=st.integers(0, 8), left_s=st.sampled_from([60.0, 900.0, 90000.0]))
    def submit_with_a_deadline(self, team: str, gpus: int, left_s: float) -> None:
        self.queue.submit(team=team, gpus=gpus, deadline_s=self.queue.now_s + left_s)

    @rule(number=machine.ANY, tier=st.sampled_from(list(Tier)), left_s=st.sampled_from([None, 900.0, 90000.0]))
    def change(self, number: int, tier: Tier, left_s: float | None) -> None:
        uids = sorted(uid for uid in self.queue.specs if self.queue.state.roster.knows(uid))
        if uids:
            deadline_s = None if left_s is None else self.queue.now_s + left_s
            uid, now_s = uids[number % len(uids)], self.queue.now_s
            self.queue.apply(events.JobChanged(time_s=now_s, uid=uid, tier=tier, deadline_s=deadline_s))

    @rule(team=st.sampled_from(TEAMS), weight=st.sampled_from([0.5, 3.0]), quota=st.sampled_from([None, 4, 30]))
    def weigh(self, team: str, weight: float, quota: int | None) -> None:
        if team != "b":  # of whom the machine knows the quota
            self.queue.team(team, weight, quota)

    @rule(seconds=st.sampled_from([5.0, 20.0, 299.0]))
    def wait_a_little(self, seconds: float) -> None:
        self.queue.now_s += seconds

    @invariant()
    def ranks_as_anew(self) -> None:
        self.queue.state.advance(self.queue.now_s)
        assert_as_anew(self.queue.state)

    @invariant()
    def knows_where_what_is(self) -> None:
        assert_accounts_of_what_runs(self.queue.state)

    @rule(number=machine.ANY)
    def says_why_as_anew(self, number: int) -> None:
        state = self.queue.state
        self.queue.decide()
        waiting = [next(bucket.uids()) for bucket in state.roster.waiting.rows]
        if waiting:
            assert state.decided is not None
            uid = waiting[number % len(waiting)]
            of_kept = why(state, uid, self.queue.now_s)
            state.decided = None
            assert why(state, uid, self.queue.now_s) == of_kept


TestKeptRanking = KeptRanking.TestCase
TestKeptRanking.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_a_single_end_leaves_the_other_shares_as_they_are() -> None:
    queue = Fleet()
    queue.pool(nodes=40)
    for number in range(800):
        queue.submit(team=f"t{number % 20}", gpus=1 + number % 8, deadline_s=queue.now_s + 10**6 + 1000 * number)
    queue.act()
    queue.decide()
    kept = queue.state.pieces
    assert kept is not None
    queue.end(min(queue.places))
    with mock.patch.object(ranking, "_cut", wraps=ranking._cut) as cut:
        queue.decide()
    changed = cut.call_args_list[0].args[4]
    assert changed is not None
    assert 1 <= np.count_nonzero(changed) <= 2  # the job's share, and that of the row that moved into its place
    assert_as_anew(queue.state)


def test_bundles_of_gangs_close_up_when_most_are_gone() -> None:
    queue = Fleet()
    queue.pool(nodes=60)
    gangs = [queue.submit(nodes=2 + number % 3, gpus=8) for number in range(20)]
    queue.act()
    assert len(queue.state.running.bundles().row) == sum(2 + number % 3 for number in range(20))
    for gang in gangs[::-2] + gangs[::2]:
        queue.end(gang)
        assert_accounts_of_what_runs(queue.state)


def test_why_explains_the_last_decision_until_something_happens() -> None:
    queue = Fleet()
    queue.pool(nodes=1)
    first, second = queue.submit(gpus=8), queue.submit(gpus=8)
    queue.act()
    queue.decide()
    decided = queue.state.decided
    why(queue.state, second, queue.now_s + 0.5)
    assert queue.state.decided is decided
    why(queue.state, second, queue.now_s + 1.5)
    assert queue.state.decided is not decided
    queue.end(first)
    assert queue.state.decided is None
    assert why(queue.state, second, queue.now_s).reason.code == "next"
