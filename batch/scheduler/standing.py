"""Where each team stands: what it holds, wants and is due."""

from dataclasses import dataclass

from batch.scheduler.policy import HOUR_S
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState

_KINDS = ("accelerators", "cpus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One team's part of one kind of chip (accelerators, or CPUs of jobs that want none).

    `entitled_chips` is the weighted max-min share of what all want now, `target_chips` with credit. `credit_chip_h` is
    what it is owed, `usage_chip_h` what it used, decayed (PolicyConfig.share_decay_s).
    """

    team: str
    kind: str
    weight: float
    quota: int | None
    used_chips: float
    waiting_chips: float
    entitled_chips: float
    target_chips: float
    credit_chip_h: float
    usage_chip_h: float


def fair_share(state: SchedulerState, now_s: float) -> list[Standing]:
    """Return a row for each team and kind of chip that the pools have or the team wants. Advances to `now_s`."""
    state.advance(now_s)
    shares = state.shares
    rows = []
    for share in range(len(shares.used)):
        team, kind = shares.teams[share // NUM_KINDS], share % NUM_KINDS
        if not shares.demand[share] and not (kind == 0 and shares.capacity[0]):
            continue
        rows.append(
            Standing(
                team=team.name,
                kind=_KINDS[kind],
                weight=team.weight,
                quota=team.quota,
                used_chips=float(shares.used[share]),
                waiting_chips=float(shares.demand[share] - shares.used[share]),
                entitled_chips=float(shares.entitled[share]),
                target_chips=float(shares.target[share]),
                credit_chip_h=float(shares.credit[share]) / HOUR_S,
                usage_chip_h=float(shares.usage[share]) / HOUR_S,
            )
        )
    return rows
