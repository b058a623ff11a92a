"""The public scaling studies on which the forecasts were tuned, read from the folder of reference data.

Five families: Chinchilla (three digitisations of the same runs), Llama 3, Misfitting, Datablations and the OLMo
ladder (five validation sets of the same runs). Their origins stand in the folder's README.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from pyarrow import csv

from planner.forecasts.interaction_law import Array
from planner.forecasts.splits import RunSet
from planner.laws.runs import Runs
from planner.verification.check import reference_file

_FOLDER = "scaling"
_DROPPED_CHINCHILLA = 5
"""As Epoch AI (arXiv 2404.10102) drop the five highest losses: the folder's README says so."""
_MOST_EPOCHS = 4.01
_OLMO_PARAMS = {
    "190M": 190_354_176, "370M": 371_262_464, "760M": 758_220_288, "1B": 1_279_395_840, "3B": 3_169_537_280,
}  # fmt: skip
_OLMO_MULTIPLES = ("0.5", "1", "2", "5", "10")
_OLMO_TOKENS_PER_PARAM = 20.0
_OLMO_SETS = ("c4_en", "dolma_books", "dolma_pes2o", "dolma_stack", "wikitext_103")
_Columns = Mapping[str, Sequence[object]]


def reference_sets() -> tuple[RunSet, ...]:
    """Return the nine or so sets. Raises NoReferenceDataError."""
    return (*_chinchilla(), *_isoflop(), _datablations(), *_olmo())


def _chinchilla() -> Sequence[RunSet]:
    columns = _read("chinchilla", "svg_extracted_data.csv")
    params, flops, loss = (_floats(columns[name]) for name in ("Model Size", "Training FLOP", "loss"))
    keep = loss < np.sort(loss)[-_DROPPED_CHINCHILLA]
    return [RunSet("epoch240", "chinchilla", _finite(params, flops / (6 * params), loss, flops, keep=keep))]


def _isoflop() -> Sequence[RunSet]:
    families = {
        "llama_3": "llama3", "misfitting": "misfitting", "ml_scalefit": "chinchilla",
        "epochai_chinchilla": "chinchilla",
    }  # fmt: skip
    found = []
    for name, family in families.items():
        columns = _read("isoflop", f"{name}.csv")
        wanted = np.array([name != "llama_3" or condition == "raw_loss" for condition in columns["condition"]])
        params, tokens, loss, flops = (_floats(columns[column]) for column in ("params", "tokens", "loss", "budget"))
        found.append(RunSet(name, family, _finite(params, tokens, loss, flops, keep=wanted)))
    return found


def _datablations() -> RunSet:
    """Runs of at most four epochs (repeated data is another law); the median over runs of one size and data."""
    columns = _read("datablations", "c4_runs.csv")
    params, tokens, unique, loss = (
        _floats(columns[name]) for name in ("params", "tokens", "unique_tokens", "val_loss")
    )
    fresh = unique >= tokens / _MOST_EPOCHS
    points: dict[tuple[float, float, float], list[float]] = {}
    for size, seen, own, value in zip(params[fresh], tokens[fresh], unique[fresh], loss[fresh], strict=True):
        points.setdefault((size, seen, own), []).append(value)
    sizes, seen_tokens, _ = np.array(sorted(points)).T
    medians = np.array([np.nanmedian(points[point]) for point in sorted(points)])
    return RunSet("datablations", "datablations", _finite(sizes, seen_tokens, medians, 6 * sizes * seen_tokens))


def _olmo() -> Sequence[RunSet]:
    """The last evaluation of each run of the ladder, on the training text's own kinds."""
    rows = []
    for size, params in _OLMO_PARAMS.items():
        for multiple in _OLMO_MULTIPLES:
            columns = _read("olmo_ladder", f"{size}-{multiple}xC.csv")
            losses = {name: _floats(columns[f"eval/{name}-validation/CrossEntropyLoss"]) for name in _OLMO_SETS}
            steps = _floats(columns["_step"])
            last = np.where(np.isfinite(losses[_OLMO_SETS[0]]), steps, -1.0).argmax()
            seen = _floats(columns["throughput/total_tokens"])[last] if "throughput/total_tokens" in columns else np.nan
            tokens = seen if np.isfinite(seen) else _OLMO_TOKENS_PER_PARAM * params * float(multiple)
            rows.append([params, tokens, *(values[last] for values in losses.values())])
    table = np.array(rows)
    sizes, seen_tokens = table[:, 0], table[:, 1]
    return [
        RunSet(f"olmo_{name}", "olmo", _finite(sizes, seen_tokens, table[:, 2 + at], 6 * sizes * seen_tokens))
        for at, name in enumerate(_OLMO_SETS)
    ]


def _read(*parts: str) -> _Columns:
    found: dict[str, list[object]] = csv.read_csv(reference_file(_FOLDER, *parts)).to_pydict()
    return found


def _floats(values: Sequence[object]) -> Array:
    return np.array([np.nan if value is None else float(str(value)) for value in values])


def _finite(params: Array, tokens: Array, loss: Array, flops: Array, *, keep: np.ndarray | None = None) -> Runs:
    good = np.isfinite(params) & np.isfinite(tokens) & np.isfinite(loss) & np.isfinite(flops)
    if keep is not None:
        good &= keep
    return Runs(params[good], tokens[good], loss[good], flops[good])
