"""`simulate`, called in a folder of its own."""

from pathlib import Path

import pytest
from fixtures_cli import Ostinato

from scripts.cli.exit_codes import ExitCode

HEADER = "uid,submit_s,duration_s,chips,team\n"
ROWS = "".join(f"{uid},{86400 + 60 * uid},{600 + 300 * (uid % 5)},{1 + uid % 4},{'ab'[uid % 2]}\n" for uid in range(40))
TRACE = ["simulate", "trace.csv", "--format", "ostinato"]


@pytest.fixture(autouse=True)
def trace(ostinato: Ostinato) -> Path:
    path = Path("trace.csv")
    path.write_text(HEADER + ROWS)
    return path


def test_a_table_for_people(ostinato: Ostinato) -> None:
    said = ostinato(*TRACE, "--gpus", "4")
    assert said.code == ExitCode.OK
    for words in ("40 jobs of 2 teams", "4 accelerators", "completion", "unfairness", "preemptions"):
        assert words in said.out


@pytest.mark.parametrize("words", [["--json"], ["-o", "json"]])
def test_one_json_value_for_programs(ostinato: Ostinato, words: list[str]) -> None:
    value = ostinato(*TRACE, "--gpus", "4", "--policy", "easy", *words).value
    assert (value["policy"], value["jobs"], value["chips"]) == ("easy", 40, 4)
    assert [group["name"] for group in value["by_team"]] == ["a", "b"]


def test_without_a_number_there_are_as_many_as_the_work_needs(ostinato: Ostinato) -> None:
    assert ostinato(*TRACE, "--policy", "fifo", "--json").value["chips"] >= 4
    assert ostinato(*TRACE, "--nodes", "2x4", "--json").value["chips"] == 8


def test_a_window(ostinato: Ostinato) -> None:
    value = ostinato(*TRACE, "--gpus", "4", "--from", "1970-01-02T00:10", "--days", "0.01", "--json").value
    assert value["jobs"] == 15


def test_pictures(ostinato: Ostinato) -> None:
    pytest.importorskip("matplotlib")
    said = ostinato(*TRACE, "--gpus", "4", "--plot", "pictures")
    names = sorted(path.name for path in Path("pictures").iterdir())
    assert names == ["default-queue.png", "default-shares.png", "default-utilisation.png"]
    assert "pictures/default-queue.png" in said.out


def test_policies_beside_each_other(ostinato: Ostinato) -> None:
    pytest.importorskip("matplotlib")
    said = ostinato(*TRACE, "--gpus", "4", "--policy", "default,fifo,las", "--plot", "pictures")
    assert [line.split()[0] for line in said.out.splitlines() if line[:4] in {"defa", "fifo", "las "}] == [
        "default", "fifo", "las",
    ]  # fmt: skip
    picture = Path("pictures/policies.svg").read_text()
    assert picture.startswith("<svg")
    assert all(f">{name}<" in picture for name in ("default", "fifo", "las"))
    values = ostinato(*TRACE, "--gpus", "4", "--policy", "fifo,las", "--json").value
    assert [value["policy"] for value in values] == ["fifo", "las"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policy", "fifo,las,fifo"], "--policy fifo,las,fifo: fifo stands there twice"),
        (["--policy", "fifo,"], "--policy : must be one of"),
        (["--policy", "best"], "--policy best: must be one of default, fifo, easy, fair, las, srtf_oracle"),
        (["--from", "1970-01-02"], "--from and --days: give both"),
        (["--from", "2017-10-01", "--days", "1"], "the trace goes from 1970-01-02"),
        (["--nodes", "many"], "nodes = 'many': must be nodes x chips on each"),
        (["--nodes", "2x4", "--gpus", "9"], "must agree"),
        (["--nodes", "2x4", "--policy", "fifo"], "baselines only count chips"),
        (["--gpus", "2"], "a gang of 3 chips: must be at most 2"),
    ],
)
def test_bad_input_is_told(ostinato: Ostinato, words: list[str], said: str) -> None:
    found = ostinato(*TRACE, *words)
    assert found.code == ExitCode.BAD_INPUT
    assert said in found.err


def test_a_bad_trace_is_told_in_json_too(ostinato: Ostinato, trace: Path) -> None:
    trace.write_text(HEADER + "0,1,2,none,a\n")
    found = ostinato(*TRACE, "--json")
    assert found.code == ExitCode.BAD_INPUT
    assert "trace.csv:2: chips = 'none': must be a number, at least 1" in found.error["message"]
    assert ostinato("simulate", "trace.csv", "--format", "slurm").code == ExitCode.BAD_INPUT
