"""Tables that no run wrote: each is refused by row and value, and no fit ends without a number."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from planner.errors import BadInputError, BadRunsError
from planner.laws import fit, read_runs
from planner.laws.fitting import default_bootstrap
from planner.laws.loss_laws import HOFFMANN
from planner.laws.runs import runs_of
from planner.laws.runs_file import MOST_RUNS
from planner.quantities import read_count

_ROWS = [("1e6", "1e8", "4"), ("2e6", "1e8", "3.8"), ("4e6", "2e8", "3.5"), ("8e6", "4e8", "3.2")]


def written(path: Path, header: str = "params,tokens,loss", rows: list[tuple[str, ...]] | None = None) -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows or _ROWS)]), encoding="utf-8")
    return path


@pytest.mark.parametrize("value", ["1e-320", "1e-300", "1e300", "1e308"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_what_no_run_has(tmp_path: Path, value: str, column: int) -> None:
    row = [*_ROWS[2]]
    row[column] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadRunsError, match=r"row 3: (params|tokens|loss) = .*must lie between"):
            read_runs(written(tmp_path / "runs.csv", rows=[*_ROWS[:2], tuple(row), _ROWS[3]]))


@pytest.mark.parametrize("value", ["1_000", "１２", "0x10", "1,5", "", " "])
def test_numbers_that_are_read_in_two_ways(tmp_path: Path, value: str) -> None:
    rows = [*_ROWS[:3], ("8e6", f'"{value}"', "3.2")]
    with pytest.raises(BadRunsError, match="row 4: tokens"):
        read_runs(written(tmp_path / "runs.csv", rows=rows))


@pytest.mark.parametrize("seed", ["1e30", "0.5", "inf"])
def test_seeds_are_whole(tmp_path: Path, seed: str) -> None:
    rows = [(*row, "0") for row in _ROWS[:3]] + [(*_ROWS[3], seed)]
    with pytest.raises(BadRunsError, match="row 4: seed"):
        read_runs(written(tmp_path / "runs.csv", "params,tokens,loss,seed", rows))


def test_infinite_flops_name_their_row(tmp_path: Path) -> None:
    rows = [(*row, "1e15") for row in _ROWS[:3]] + [(*_ROWS[3], "inf")]
    with pytest.raises(BadRunsError, match="row 4: flops = inf"):
        read_runs(written(tmp_path / "runs.csv", "params,tokens,loss,flops", rows))


def test_files_that_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BadRunsError, match="is empty"):
        read_runs(tmp_path / "empty.csv")
    with pytest.raises(BadRunsError, match="column loss is there 2 times"):
        read_runs(written(tmp_path / "twice.csv", "params,tokens,loss,loss", [(*row, "9") for row in _ROWS]))
    with pytest.raises(BadRunsError, match="cannot be read"):
        read_runs(written(tmp_path / "long.csv", rows=[*_ROWS[:3], ("9" * 200_000, "1", "1")]))


def test_too_many_runs(tmp_path: Path) -> None:
    rows = "\n".join("1e6,1e8,4" for _ in range(MOST_RUNS + 1))
    (tmp_path / "runs.csv").write_text(f"params,tokens,loss\n{rows}")
    with pytest.raises(BadRunsError, match="aggregate them"):
        read_runs(tmp_path / "runs.csv")


def test_a_fit_that_is_not_finite_is_an_error() -> None:
    params = np.array([1e6, 2e6, 4e6, 8e6, 1e7, 2e7, 4e7])
    loss = np.array([4.0, 3.8, 3.6, 3.5, 3.4, 3.3, np.nan])
    with pytest.raises(BadRunsError, match=r"no finite fit to these 7 runs: .*loss from"):
        fit(runs_of(params, 20.0 * params[::-1], loss), HOFFMANN)


def test_large_tables_are_fitted_as_small_ones() -> None:
    random = np.random.default_rng(0)
    params, tokens = 10 ** random.uniform(6, 9, 6000), 10 ** random.uniform(8, 11, 6000)
    loss = 1.7 + 400 / params**0.34 + 410 / tokens**0.28
    found = fit(runs_of(params, tokens, loss), HOFFMANN).values
    assert found["E"] == pytest.approx(1.7, rel=1e-3)
    assert found["alpha"] == pytest.approx(0.34, rel=1e-3)
    assert [default_bootstrap(rows) for rows in (10, 2_000, 4_000, 20_000, 200_000)] == [200, 200, 100, 20, 0]


@pytest.mark.parametrize("text", ["1,5T", "15,00", "1,,000", "1_5", "1_000,000", "1,5", "１５T", "1.5.2"])
def test_ambiguous_amounts(text: str) -> None:
    with pytest.raises(BadInputError, match="must be a number"):
        read_count(text)


def test_groups_of_three() -> None:
    assert [read_count(text) for text in ("1,500", "300_000", "1,234,567", "1.5k", "12T")] == [
        1500, 300_000, 1_234_567, 1500, 12 * 10**12,
    ]  # fmt: skip
