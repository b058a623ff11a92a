"""One way to spend a budget: a model on machines, with its batch, layout and length, and what comes of it."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from planner.architectures import BatchShape
from planner.cost import interrupted_run_s
from planner.errors import BadInputError
from planner.forecasts.evidence import Evidence
from planner.hardware import Price
from planner.laws.hyperparameters import BATCH_TOKENS, LEARNING_RATE, STEP_LAW
from planner.laws.law import predict
from planner.layout_search import Candidate, Search, Workload, search_layouts
from planner.recommendation.conditions import HOUR_S, Conditions, Limits, Machines
from planner.recommendation.ladders import Rung
from planner.recommendation.loss_models import LossModel
from planner.time_calibration import Calibration, calibration_for

DAY_S = 86_400.0
_ROUNDS = 4
"""Of batch and tokens, which depend on each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done and what it gives. Dollars are None where there is no price."""

    rung: Rung
    machines: Machines
    candidate: Candidate
    search: Search
    steps: int
    tokens: float
    tokens_range: tuple[float, float]
    """What the range of the step's time makes of them."""
    learning_rate: float
    batch_wanted_tokens: float
    """Of Step Law; the layout's batch is the nearest that can be."""
    productive_s: float
    wall_s: float
    checkpoint_s: float
    checkpoint_every_s: float | None
    device_hours: float
    """Of training and inference."""
    infer_hours: float
    usd: float | None
    loss: float
    loss_range: tuple[float, float]
    """90 %, over the law's interval and the time's range together."""
    flops: float
    evidence: Evidence
    ended_by: str

    @property
    def days(self) -> float:
        """Of training, with checkpoints and interruptions."""
        return self.wall_s / DAY_S

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        price = self.machines.price
        return {
            "model": self.rung.model.name, "params": self.rung.params, "tokens": self.tokens,
            "tokens_range": list(self.tokens_range), "flops": self.flops, "loss": self.loss,
            "loss_range": list(self.loss_range), "level": 0.9, "instance": self.machines.instance.name,
            "devices": self.machines.devices, "terms": self.machines.terms, "price": _price_json(price),
            "layout": self.candidate.verdict.layout.described(), "layouts_computed": self.search.looked_at,
            "binding": self.search.binding, "samples_per_step": self.candidate.verdict.layout.samples_per_step,
            "batch_wanted_tokens": self.batch_wanted_tokens, "learning_rate": self.learning_rate, "steps": self.steps,
            "step_s": self.candidate.step.total_s, "step_range_s": list(self.candidate.step.interval_s()),
            "mfu": self.candidate.step.mfu, "time_provenance": self.candidate.step.provenance,
            "memory_bytes": self.candidate.verdict.estimate.total_bytes,
            "productive_s": self.productive_s, "wall_s": self.wall_s, "days": self.days,
            "checkpoint_s": self.checkpoint_s, "checkpoint_every_s": self.checkpoint_every_s,
            "device_hours": self.device_hours, "infer_device_hours": self.infer_hours, "usd": self.usd,
            "ended_by": self.ended_by, "evidence": self.evidence.to_json(),
        }  # fmt: skip


def _price_json(price: Price | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {
        "usd_per_hour": price.usd_per_hour, "as_of": price.as_of.isoformat(), "terms": price.terms,
        "region": price.region, "source": price.source,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Length:
    """How long a run goes, and why."""

    steps: int
    wall_per_productive: float
    checkpoint_s: float
    checkpoint_every_s: float | None
    ended_by: str


@dataclass(slots=True)
class Planner:
    """Makes plans under the same limits and conditions; what several of them need is computed once."""

    limits: Limits
    conditions: Conditions
    losses: LossModel
    _workloads: dict[str, Workload] = field(default_factory=dict)
    _searches: dict[tuple[str, str, int, int], Search | None] = field(default_factory=dict)

    def most_tokens(self, rung: Rung, machines: Machines) -> float:
        """Return more tokens than any layout trains a model on: products and attention of the layers, and no pause.

        Of L layers each of p stages has L/p where stages are even, and at least half of that where they are not.
        """
        seconds, _ = machines.training_s(self.limits, rung.params, self.conditions)
        profile = self._workload(rung).time(1)
        matmul, attention = self._calibration(machines).constants[:2]
        work = matmul * (profile.matmul_forward + profile.matmul_backward)
        work = work + attention * (profile.attention_forward + profile.attention_backward)
        peak = machines.instance.accelerator.bf16_flops_per_s
        even = 1.0 if self.conditions.space.even else 0.5
        per_token_s = even * float(work[profile.is_layer].sum()) / peak / profile.positions
        return max(0.0, seconds * machines.devices / per_token_s)

    def plan(self, rung: Rung, machines: Machines) -> Plan | None:
        """Return how to train a model on machines until the budget ends; None where no layout fits or no step does."""
        seconds, ended_by = machines.training_s(self.limits, rung.params, self.conditions)
        if seconds <= 0.0:
            return None
        interruptions = self.conditions.interruptions(machines, rung.params)
        instances = machines.instance.instances_for(machines.devices)
        lost, every_s = interrupted_run_s(instances, 1.0, interruptions)
        found = self._settled(rung, machines, seconds / lost)
        if found is None:
            return None
        length = _Length(found[1], lost, interruptions.checkpoint_s, every_s, ended_by)
        return self._described(rung, machines, found[0], length)

    def _settled(self, rung: Rung, machines: Machines, productive_s: float) -> tuple[Search, int] | None:
        """Return layouts and steps whose batch is the one for the tokens that they make."""
        tokens, found, samples = 0.5 * self.most_tokens(rung, machines), None, 0
        for _ in range(_ROUNDS):
            before, samples = samples, self._samples(tokens, machines.devices)
            if samples == before:
                break
            search = self._search(rung, machines, samples)
            steps = 0 if search is None or not search.best else int(productive_s / search.best[0].step.total_s)
            if search is None or not steps:
                break
            tokens, found = float(steps) * samples * self.conditions.text_tokens, (search, steps)
        return found

    def _samples(self, tokens: float, devices: int) -> int:
        """Return the batch that is nearest to Step Law's and can be divided among the devices."""
        wanted = _batch_tokens(tokens) / self.conditions.text_tokens
        odd = devices // (devices & -devices)
        return odd * int(2 ** max(0, round(math.log2(max(wanted / odd, 1.0)))))

    def _search(self, rung: Rung, machines: Machines, samples: int) -> Search | None:
        key = (rung.model.name, machines.instance.name, machines.devices, samples)
        if key not in self._searches:
            try:
                self._searches[key] = search_layouts(
                    self._workload(rung), machines.devices, samples, machines.instance, self._calibration(machines),
                    space=self.conditions.space, assumptions=self.conditions.assumptions, best=1,
                )  # fmt: skip
            except BadInputError:
                self._searches[key] = None
        return self._searches[key]

    def _workload(self, rung: Rung) -> Workload:
        name = rung.model.name
        if name not in self._workloads:
            self._workloads[name] = Workload.of(rung.model, BatchShape(1, self.conditions.text_tokens))
        return self._workloads[name]

    def _calibration(self, machines: Machines) -> Calibration:
        return calibration_for(machines.instance.accelerator.name, self.conditions.calibrations)

    def _described(
        self, rung: Rung, machines: Machines, search: Search, length: "_Length"
    ) -> Plan:
        best = search.best[0]
        productive_s = length.steps * best.step.total_s
        wall_s = productive_s * length.wall_per_productive
        tokens = float(length.steps) * best.verdict.layout.samples_per_step * self.conditions.text_tokens
        quick_s, slow_s = best.step.interval_s()
        least, most = (tokens * best.step.total_s / seconds for seconds in (slow_s, quick_s))
        sizes = np.full(3, rung.params)
        loss, low, high = self.losses.losses(sizes, np.array([tokens, most, least]))
        infer_hours = machines.infer_hours(rung.params, self.conditions)
        hours = wall_s / HOUR_S * machines.devices + infer_hours
        per_hour = machines.usd_per_device_hour
        step_law = {"params": np.array([rung.body_params]), "tokens": np.array([tokens])}
        return Plan(
            rung=rung,
            machines=machines,
            candidate=best,
            search=search,
            steps=length.steps,
            tokens=tokens,
            tokens_range=(least, most),
            learning_rate=float(predict(LEARNING_RATE, STEP_LAW["learning_rate"], step_law)[0]),
            batch_wanted_tokens=_batch_tokens(tokens),
            productive_s=productive_s,
            wall_s=wall_s,
            checkpoint_s=length.checkpoint_s,
            checkpoint_every_s=length.checkpoint_every_s,
            device_hours=hours,
            infer_hours=infer_hours,
            usd=None if per_hour is None else hours * per_hour,
            loss=float(loss[0]),
            loss_range=(float(low[1]), float(high[2])),
            flops=self.losses.flops(rung.params, tokens),
            evidence=self.losses.evidence(rung.params, tokens),
            ended_by=length.ended_by,
        )


def _batch_tokens(tokens: float) -> float:
    return float(predict(BATCH_TOKENS, STEP_LAW["batch_tokens"], {"tokens": np.array([max(tokens, 1.0)])})[0])
