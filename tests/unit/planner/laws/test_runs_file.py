"""Bad input is refused in a sentence that names file, row and value; what is only odd is noted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from planner.errors import BadRunsError, UnknownNameError
from planner.forecasts.ledger_entries import Outcome
from planner.laws import read_runs
from planner.loop.study import Study, StudyRun

GOOD = "params,tokens,loss\n1e8,2e9,3.1\n2e8,4e9,2.9\n4e8,8e9,2.7\n8e8,1.6e10,2.6\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "runs.csv"
    path.write_text(text)
    return path


def test_compute_is_6nd_where_none_is_given(tmp_path: Path) -> None:
    runs = read_runs(written(tmp_path, GOOD))
    assert np.array_equal(runs.flops, 6.0 * runs.params * runs.tokens)
    assert (len(runs), runs.group, runs.seed, runs.notes) == (4, None, None, ())


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    columns = {"params": [1e8, 2e8, 4e8], "tokens": [2e9, 4e9, 8e9], "loss": [3.1, 2.9, 2.7], "seed": [1, 2, 3],
               "group": ["a", "a", "b"]}  # fmt: skip
    parquet.write_table(pa.table(columns), path)
    runs = read_runs(path)
    assert runs.loss.tolist() == columns["loss"]
    assert runs.seed is not None
    assert runs.seed.tolist() == [1, 2, 3]
    assert runs.group is not None
    assert runs.group.tolist() == ["a", "a", "b"]


def test_columns_by_other_names_are_mapped(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("params,tokens,loss", "N,D,val_loss"))
    runs = read_runs(path, {"params": "N", "tokens": "D", "loss": "val_loss"})
    assert runs.params[0] == 1e8
    with pytest.raises(BadRunsError, match=r"no column params, tokens, loss; there are N, D, val_loss.*--column"):
        read_runs(path)
    with pytest.raises(BadRunsError, match="column params=M is not there"):
        read_runs(path, {"params": "M"})
    with pytest.raises(BadRunsError, match="column size=N: must be one of params"):
        read_runs(path, {"size": "N"})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1e8,3e9,-2.9", r"runs.csv, row 5: loss = -2.9: must be finite and > 0.*leave them out"),
        ("1e8,3e9,nan", "row 5: loss = nan"),
        ("1e8,3e9,inf", "row 5: loss = inf"),
        ("1e8,3e9,0", "row 5: loss = 0"),
        ("-1e8,3e9,2.9", "row 5: params = -1e8"),
        ("1e8,0,2.9", "row 5: tokens = 0"),
        ("1e8,3e9,good", "row 5: loss = 'good' is not a number"),
        ("1e8,3e9,", "row 5: loss = '' is not a number"),
        ("1e8,3e9", "row 5: has 2 values, the header has 3"),
        ("2e8,4e9,2.9", r"row 5: repeats row 2 \(params = 2e\+08.*seeds of their own"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(BadRunsError, match=said):
        read_runs(written(tmp_path, GOOD + row + "\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: the first line must name the columns"),
        ("params,tokens,loss\n1e8,2e9,3.1\n2e8,4e9,2.9\n", "2 runs cannot be fitted"),
        ("params,tokens,loss\n1e8,4e9,3.1\n2e8,2e9,2.9\n4e8,1e9,2.7\n", r"all 3 runs have the same budget, 2.4e\+18"),
        (
            "params,tokens,loss,convention\n1e8,2e9,3.1,6nd\n2e8,4e9,2.9,6nd\n4e8,8e9,2.7,hardware\n",
            "row 3: convention = 'hardware', but rows before it have '6nd'",
        ),
    ],
)
def test_tables_that_cannot_be_fitted_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadRunsError, match=said):
        read_runs(written(tmp_path, text))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRunsError, match=r"none.csv: cannot be read"):
        read_runs(tmp_path / "none.csv")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"not parquet")
    with pytest.raises(BadRunsError, match=r"cannot be read as \.parquet"):
        read_runs(broken)


def test_what_is_odd_is_noted(tmp_path: Path) -> None:
    text = "params,tokens,loss,flops,colour\n1e8,2e9,3.1,1.2e18,red\n2e8,4e9,2.9,4.8e18,red\n4e8,8e9,2.7,4e19,red\n"
    notes = read_runs(written(tmp_path, text)).notes
    assert "columns that nothing reads: colour" in notes[0]
    assert "flops are 1 to 2.08 times 6 · params · tokens (rows 1 and 3)" in notes[1]


def test_a_dense_model_has_sparsity_zero(tmp_path: Path) -> None:
    text = "params,tokens,loss,sparsity\n1e8,2e9,3.1,0\n2e8,4e9,2.9,0.5\n4e8,8e9,2.7,0.9\n"
    runs = read_runs(written(tmp_path, text))
    assert runs.column("sparsity").tolist() == [0.0, 0.5, 0.9]
    with pytest.raises(UnknownNameError, match="there are flops, loss, params, sparsity, tokens"):
        runs.column("width")


def test_a_studys_table_is_read_without_the_runs_that_did_not_finish(tmp_path: Path) -> None:
    study = Study(tmp_path)
    made = [
        StudyRun(run=str(at), params=10.0**at, tokens=10.0**at, flops=6 * 10.0 ** (2 * at), loss=9.0 - at)
        for at in range(3, 7)
    ]
    lost = replace(made[0], run="lost", seed=1, loss=None, outcome=Outcome.DIVERGED)
    study.add([made[0], lost, *made[1:]])
    found = read_runs(study.runs_path)
    assert found.loss.tolist() == [6.0, 5.0, 4.0, 3.0]
    assert found.notes[0] == "1 of 5 runs diverged or failed, and are left out"
