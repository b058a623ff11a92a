"""The scheduler's rows of the benchmark `queue`: the production policy on recorded Philly windows, beside its anchors.

Every row is a worst or a mean over windows of 14 days at load 1.0, from an empty machine, with checkpoints every ten
minutes and 30 s restarts for every policy. The reference window and the next were used to find the policy's constants,
the last two were held out.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from batch.scheduler.policy import PolicyConfig, Victims
from batch.simulator import Cluster, PolicyName, Report, Trace, TraceFormat, read_trace, report_of, simulate
from scripts.benchmarks.contest import Effort, Figure, Goal

DATA_VARIABLE = "OSTINATO_REFERENCE_DATA"
REFERENCE = datetime.fromisoformat("2017-10-01")
WINDOWS = (
    REFERENCE,
    datetime.fromisoformat("2017-09-17"),
    datetime.fromisoformat("2017-10-15"),
    datetime.fromisoformat("2017-10-26"),
)
WINDOW_DAYS = 14
_NODES_OF = 8

EXACT_MAX_MIN = PolicyConfig(
    theta_start_chip_h=1e-6,
    theta_min_chip_h=1e-6,
    theta_max_chip_h=1e-6,
    dual_rate=0.0,
    credit_max=0.0,
    team_hysteresis=0.0,
    hysteresis=0.0,
    hysteresis_per_preemption=0.0,
    patience_fraction=0.0,
    resume_patience_s=0.0,
    soon_s=0.0,
    minimum_run_s=0.0,
    checkpoint_age_s=1e12,
    preemptions_per_h=1e9,
    preemption_burst=1e9,
    age_rate_per_h=0.0,
    gang_guarantee_chips=1 << 30,
)
"""Every team its entitlement at once, whatever it costs: the same order inside a team, an infinite price, no mercy."""


def _at_most(name: str, bound: float, unit: str = "ratio") -> Figure:
    return Figure(f"Philly: {name}", unit, Goal(at_most=bound, of="ours"))


def _at_least(name: str, bound: float) -> Figure:
    return Figure(f"Philly: {name}", "ratio", Goal(at_least=bound, of="ours"))


COMPLETION_MEAN = _at_most("mean completion ÷ SRTF with oracle, mean of windows", 1.03)
COMPLETION_WORST = _at_most("mean completion ÷ SRTF with oracle, worst window", 1.05)
UNFAIRNESS = _at_most("unfairness per contended hour, reference window", 0.08)
UNFAIRNESS_ELSEWHERE = _at_most("unfairness ÷ SRTF's, worst of the other windows", 0.6)
PREEMPTIONS = _at_most("preemptions ÷ LAS's, worst window", 0.45)
LOST = _at_most("accelerator-hours lost ÷ LAS's, worst window", 0.3)
LOST_BY_YOUNGEST = _at_most("accelerator-hours lost ÷ by choosing the youngest victims, worst window", 0.35)
TEAM = _at_most("a team's completion ÷ its exact max-min value, worst", 1.15)
P99 = _at_most("p99 completion ÷ EASY's, worst window", 1.0)
BIG_GANGS = _at_most("total delay of gangs of 16 and more ÷ EASY's, worst window", 1.0)
UTILISATION = _at_least("utilisation ÷ offline bound, counted, worst window", 0.98)
UTILISATION_NODES = _at_least("utilisation ÷ offline bound, nodes of 8, reference window", 0.95)
SIMULATOR = _at_most("58,771 jobs simulated under the production policy", 30.0, "s")

FIGURES: tuple[Figure, ...] = (
    COMPLETION_MEAN, COMPLETION_WORST, UNFAIRNESS, UNFAIRNESS_ELSEWHERE, PREEMPTIONS, LOST, LOST_BY_YOUNGEST, TEAM,
    P99, BIG_GANGS, UTILISATION, UTILISATION_NODES, SIMULATOR,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowReports:
    """The reports of one window."""

    first: datetime
    ours: Report
    srtf: Report
    las: Report
    easy: Report
    max_min: Report
    youngest: Report

    @property
    def completion(self) -> float:
        """Return our mean completion over that of the oracle."""
        return self.ours.overall.mean_completion_h / self.srtf.overall.mean_completion_h

    @property
    def team(self) -> float:
        """Return the largest of the teams' mean completions over their exact max-min values."""
        pairs = zip(self.ours.by_team, self.max_min.by_team, strict=True)
        return max(ours.mean_completion_h / exact.mean_completion_h for ours, exact in pairs)

    @property
    def big_gangs(self) -> float:
        """Return the total delay of gangs of 16 and more over EASY's."""
        assert self.ours.gangs_16 is not None, "all windows have such gangs"
        assert self.easy.gangs_16 is not None, "all windows have such gangs"
        return self.ours.gangs_16.mean_delay_h / self.easy.gangs_16.mean_delay_h


def philly(effort: Effort) -> Mapping[str, float]:
    """Return the value of each of `FIGURES` by name; `QUICK` looks at the reference window only.

    Simulations do not depend on the machine but for the last figure. Takes some minutes. Raises FileNotFoundError
    without the trace.
    """
    trace = philly_trace()
    windows = [window_reports(first) for first in (WINDOWS[:1] if effort is Effort.QUICK else WINDOWS)]
    return {**_figures(windows), UTILISATION_NODES.name: _on_nodes(trace), SIMULATOR.name: _whole(trace)}


def window_reports(first: datetime) -> WindowReports:
    """Return the reports of ours and the anchors on the window from `first`."""
    window = philly_trace().window(first, WINDOW_DAYS)
    cluster = Cluster.counted(window.chips_for_load(1.0))

    def report(policy: PolicyName, config: PolicyConfig | None = None) -> Report:
        return report_of(simulate(window, cluster, policy, config=config))

    return WindowReports(
        first=first,
        ours=report(PolicyName.DEFAULT),
        srtf=report(PolicyName.SRTF_ORACLE),
        las=report(PolicyName.LAS),
        easy=report(PolicyName.EASY),
        max_min=report(PolicyName.DEFAULT, EXACT_MAX_MIN),
        youngest=report(PolicyName.DEFAULT, PolicyConfig(victims=Victims.YOUNGEST)),
    )


@cache
def philly_trace() -> Trace:
    """Return the Philly trace from the folder of reference data. Raises FileNotFoundError."""
    path = Path(os.environ.get(DATA_VARIABLE, "")) / "traces/philly_2017_sep_to_nov9.csv"
    if DATA_VARIABLE not in os.environ or not path.is_file():
        raise FileNotFoundError(f"{DATA_VARIABLE} must name a folder with {path.name} below traces/: {path}")
    return read_trace(path, TraceFormat.PHILLY)


def _figures(windows: Sequence[WindowReports]) -> dict[str, float]:
    completions = [window.completion for window in windows]
    reference, *others = windows
    return {
        COMPLETION_MEAN.name: sum(completions) / len(completions),
        COMPLETION_WORST.name: max(completions),
        UNFAIRNESS.name: _hourly(reference.ours),
        UNFAIRNESS_ELSEWHERE.name: max(_hourly(w.ours) / _hourly(w.srtf) for w in others or windows),
        PREEMPTIONS.name: max(w.ours.preemptions / w.las.preemptions for w in windows),
        LOST.name: max(w.ours.lost_chip_h / w.las.lost_chip_h for w in windows),
        LOST_BY_YOUNGEST.name: max(w.ours.lost_chip_h / w.youngest.lost_chip_h for w in windows),
        TEAM.name: max(w.team for w in windows),
        P99.name: max(w.ours.overall.p99_completion_h / w.easy.overall.p99_completion_h for w in windows),
        BIG_GANGS.name: max(w.big_gangs for w in windows),
        UTILISATION.name: min(w.ours.utilisation for w in windows),
    }


def _hourly(report: Report) -> float:
    assert report.unfairness_hourly is not None, "all windows are contended"
    return report.unfairness_hourly


def _on_nodes(trace: Trace) -> float:
    window = trace.window(REFERENCE, WINDOW_DAYS)
    nodes = -(-window.chips_for_load(1.0) // _NODES_OF)
    return report_of(simulate(window, Cluster(nodes, _NODES_OF))).utilisation


def _whole(trace: Trace) -> float:
    return simulate(trace, Cluster.counted(trace.chips_for_load(1.0))).wall_s
