"""Runs that a study did not plan: they are evidence, and nothing was forecast of them."""

import hashlib
import math
from pathlib import Path
from typing import Any

from batch.client import Client
from configs.compose import compose, compose_document
from configs.fingerprint import fingerprint
from configs.schema import RunSpec
from planner.errors import BadInputError
from planner.forecasts.ledger_entries import Outcome
from planner.laws.runs_file import read_runs
from planner.loop.study import StudyRun
from recipes.config import CatalogueTextConfig
from recipes.models import parameter_count
from scripts.planning.queue_jobs import LOSS_METRIC, MEMORY_METRIC
from scripts.planning.rungs import FLOPS_PER_PARAM_TOKEN


def runs_of_table(path: Path) -> list[StudyRun]:
    """Return the runs of a CSV or Parquet file. Raises BadRunsError."""
    runs = read_runs(path)
    found = []
    for at in range(len(runs)):
        values = (float(runs.params[at]), float(runs.tokens[at]), float(runs.loss[at]), float(runs.flops[at]))
        group = "" if runs.group is None else str(runs.group[at])
        seed = 0 if runs.seed is None else int(runs.seed[at])
        name = hashlib.sha256(repr((*values, group, seed)).encode()).hexdigest()[:16]
        params, tokens, loss, flops = values
        found.append(
            StudyRun(run=f"table-{name}", params=params, tokens=tokens, loss=loss, flops=flops, group=group, seed=seed)
        )
    return found


def runs_of_sweep(client: Client, sweep: str) -> list[StudyRun]:
    """Return the finished members of a sweep of language models. Raises BadInputError for a sweep of something else."""
    members = client.find(sweep=client.sweep(sweep)["id"], limit=1000)["jobs"]
    return [_run(client.job(member["id"])) for member in members if member["state"] == "succeeded"]


def _run(job: dict[str, Any]) -> StudyRun:
    payload = job["spec"]["payload"]
    overrides = [*payload.get("base", ()), *job["overrides"]]
    document = payload.get("document")
    if document is None:
        composed = compose(overrides)
    else:
        composed = compose_document(document, job["overrides"], origin="the job")
    spec: RunSpec = composed.spec
    params = parameter_count(spec.model)
    loss = job["metrics"].get(LOSS_METRIC, math.nan)
    if params is None or not isinstance(spec.data, CatalogueTextConfig) or not math.isfinite(loss):
        raise BadInputError(
            f"job {job['id']}: recipe={spec.recipe.kind} with metrics {', '.join(job['metrics']) or 'none'} is no run "
            "of recipe=lm_ladder with a model of its own; give a table of params, tokens and loss with --csv"
        )
    tokens = float(spec.run.steps * spec.run.global_batch * spec.data.sequence_length)
    return StudyRun(
        run=f"{spec.recipe.kind}-{fingerprint(composed.document)[:16]}", params=float(params), tokens=tokens,
        flops=FLOPS_PER_PARAM_TOKEN * params * tokens, loss=loss, outcome=Outcome.FINISHED, seed=spec.run.seed,
        steps=spec.run.steps, memory_bytes=job["metrics"].get(MEMORY_METRIC),
        time_s=job["ended_s"] - job["started_s"] if job["started_s"] else None,
    )  # fmt: skip
