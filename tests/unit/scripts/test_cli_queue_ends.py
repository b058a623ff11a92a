"""Commands of the queue at their ends: a pipe that is closed, a pool that is not there, a table that counts once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_cli import Ostinato
from fixtures_controller import OPERATOR, FakeAgent, Served, serving
from fixtures_sources import REPOSITORY


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serving(tmp_path / "queue") as found:
        monkeypatch.setenv("OSTINATO_CONTROLLER", found.url)
        monkeypatch.setenv("OSTINATO_TOKEN", OPERATOR)
        yield found


def test_output_that_nobody_reads_ends_quietly(served: Served) -> None:
    [job] = served.submit()
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "scripts.cli", "show", job],
            cwd=REPOSITORY, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=240, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_name_that_the_terminal_cannot_show_hides_nothing(served: Served) -> None:
    served.submit({"name": "\u00e9\u2603"}, {"name": "plain"})
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.cli", "ls"],
        cwd=REPOSITORY, env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\xe9\\u2603" in ended.stdout
    assert "plain" in ended.stdout


def test_what_others_wrote_commands_no_terminal(served: Served, ostinato: Ostinato) -> None:
    evil = "red\x1b[31m\x9b\u202e"
    [job] = served.submit({"payload": {"command": [evil]}, "user": evil, "recipe": evil, "held": True})
    served.json("PUT", "/v1/teams/t%1b[31m", {})
    for words in (["ls", "-o", "wide"], ["show", job], ["team", "ls"], ["events"]):
        said = ostinato(*words)
        assert (said.code, [mark for mark in "\x1b\x9b\u202e" if mark in said.out]) == (0, []), words
    assert "red\\x1b[31m\\x9b\\u202e" in ostinato("show", job).out


def test_a_name_that_fits_several_jobs_is_said_to_do_so(served: Served, ostinato: Ostinato) -> None:
    served.submit({"name": "twice"}, {"name": "twice"})
    for command in ("show", "logs"):
        said = ostinato(command, "twice")
        assert (said.code, "'twice' fits several" in said.err) == (2, True), said.err


def test_a_queue_that_cannot_be_asked_is_no_queue_without_the_job(
    served: Served, ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch
) -> None:
    [job] = served.submit()
    monkeypatch.setenv("OSTINATO_TOKEN", "ost_expired")
    said = ostinato("show", job, "-o", "json")
    assert (said.code, said.error["kind"]) == (4, "NotAllowedError")
    assert "there is no run" in said.error["message"]


def test_a_dry_import_knows_the_pools(
    served: Served, ostinato: Ostinato, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeAgent(served).sync()
    monkeypatch.chdir(tmp_path)
    for pool, code in (("moon", 3), ("local", 0)):
        Path("job.sh").write_text(f"#!/bin/sh\n#SBATCH --partition={pool}\ntrue\n")
        said = ostinato("import", "job.sh", "--dry-run")
        assert (said.code, "there are: local" in said.err) == (code, code == 3), said.err
    monkeypatch.setenv("OSTINATO_CONTROLLER", "http://127.0.0.1:9")
    said = ostinato("import", "job.sh", "--dry-run")
    assert (said.code, "it is not known whether there is a pool local" in said.err) == (0, True)


def test_sizes_count_each_job_once(ostinato: Ostinato, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"{number},{number * 60},3600,{gpus},a" for number, gpus in enumerate((1, 2, 8, 16))]
    trace.write_text("\n".join(["uid,submit_s,duration_s,chips,team", *rows]) + "\n")
    said = ostinato("simulate", str(trace), "--format", "ostinato", "--gpus", "16", "--policy", "fifo")
    assert said.code == 0, said.err
    sizes = said.out[said.out.index("accelerators   ") : said.out.index("of which")]
    assert [words[0] for line in sizes.splitlines()[2:] if (words := line.split())] == ["1", "2-4", "5-8", "9-16"]
