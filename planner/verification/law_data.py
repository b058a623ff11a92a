"""Runs from the reference data, as their publications fitted them. All raise NoReferenceDataError without the data."""

import csv
from functools import cache

import numpy as np

from planner.laws.runs import Array, Runs, runs_of
from planner.laws.runs_file import read_runs
from planner.verification.check import reference_file

OUTLIERS = "top:5"
"""What Epoch's replication leaves out of Chinchilla's points."""
STEP_LAW_SEQUENCE = 2048
"""Tokens of one sequence: steps times batch times this are the published tokens of each run."""
LADDER_PARAMS = {"190M": 190_354_176, "370M": 371_262_464, "760M": 758_220_288, "1B": 1_279_395_840}
"""Without embeddings (allenai/OLMo-ladder, src/scaling/utils.py)."""
LADDER_LENGTHS = ("1xC", "2xC", "5xC", "10xC")
LADDER_TARGET = (13_202_396_160.0, 596_057 * 8_388_608.0)
"""Parameters and tokens of OLMo 2 13B, whose losses the ladder's tables forecast."""


@cache
def chinchilla() -> Runs:
    """Return the 245 points that Epoch digitised from Hoffmann et al. (Besiroglu et al. 2024, arXiv 2404.10102)."""
    rows = _rows("chinchilla", "svg_extracted_data.csv")
    params, flops, loss = (_floats(rows, name) for name in ("Model Size", "Training FLOP", "loss"))
    return runs_of(params, flops / 6.0 / params, loss, flops)


@cache
def data_constrained() -> Runs:
    """Return the 182 runs to which Muennighoff et al. 2023 fitted their law."""
    return read_runs(reference_file("scaling", "datablations", "c4_runs_182.csv"), {"loss": "val_loss"})


@cache
def isoflop(name: str, condition: str = "") -> Runs:
    """Return a set of isoFLOP runs of Open-Athena's collection."""
    rows = [row for row in _rows("isoflop", f"{name}.csv") if not condition or row["condition"] == condition]
    return runs_of(*(_floats(rows, column) for column in ("params", "tokens", "loss", "budget")))


@cache
def openclip(data_set: str, metric: str, *, by_openai: bool) -> tuple[Array, Array]:
    """Return total compute in GMACs and error (1 − metric) of the CLIP models of Cherti et al. 2022."""
    rows = [
        row
        for row in _rows("openclip", "zeroshot_results.csv")
        if row["downstream_dataset"] == data_set and (row["upstream_dataset"] == "CLIP-WIT") == by_openai
    ]
    return _floats(rows, "gmacs_total"), 1.0 - _floats(rows, metric)


@cache
def step_law() -> Runs:
    """Return Step Law's 1,911 dense runs, with their smoothed final loss, learning rate and batch."""
    rows = _rows("steplaw", "dense_lr_bs_loss.csv")
    batch = _floats(rows, "bs") * STEP_LAW_SEQUENCE
    columns = (_floats(rows, name) for name in ("N", "D", "smooth loss"))
    return runs_of(*columns, learning_rate=_floats(rows, "lr"), batch_tokens=batch)


@cache
def ladder(columns: tuple[str, ...], weights: tuple[float, ...] = (1.0,)) -> Runs:
    """Return the sixteen runs of OLMo's ladder; their loss is a weighted mean of columns over the last five rows."""
    found = []
    for size, params in LADDER_PARAMS.items():
        for length in LADDER_LENGTHS:
            rows = _rows("olmo_ladder", f"{size}-{length}.csv")[-5:]
            values = np.stack([_floats(rows, column) for column in columns])
            loss = np.average(values, axis=0, weights=weights).mean()
            found.append((params, float(rows[-1]["throughput/total_tokens"]), loss))
    table = np.array(found, dtype=np.float64)
    return runs_of(table[:, 0], table[:, 1], table[:, 2])


@cache
def ladder_curve(run: str, column: str) -> tuple[Array, Array, Array, Array]:
    """Return steps, learning rates, tokens and losses of one learning curve of OLMo's ladder."""
    rows = _rows("olmo_ladder", f"{run}.csv")
    names = ("_step", "optim/learning_rate_group0", "throughput/total_tokens", column)
    steps, rates, tokens, losses = (_floats(rows, name) for name in names)
    return steps, rates, tokens, losses


def ladder_table(name: str) -> dict[str, dict[str, float]]:
    """Return one of the ladder's printed tables: task → column → value."""
    rows = _rows("olmo_ladder", f"{name}.csv")
    return {row["Task"]: {key: float(value) for key, value in row.items() if key != "Task"} for row in rows}


def _rows(folder: str, name: str) -> list[dict[str, str]]:
    with reference_file("scaling", folder, name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _floats(rows: list[dict[str, str]], name: str) -> Array:
    return np.array([float(row[name]) for row in rows])
