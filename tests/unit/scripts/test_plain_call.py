"""The short way to a command and Typer's: both read the same annotations, and must understand the same."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from fixtures_cli import Ostinato
from fixtures_controller import serving
from fixtures_sources import REPOSITORY

from scripts.cli import commands, plain_call
from scripts.cli.commands import COMMANDS, load

LINES = [
    ["ls"],
    ["ls", "--mine", "--team", "vision", "-o", "json"],
    ["ls", "--state", "queued", "--state", "held", "--limit", "7"],
    ["ls", "--output=wide", "--name=x"],
    ["why", "abc", "-o", "json"],
    ["cancel", "a", "b", "--now"],
    ["wait", "a", "--timeout", "2h"],
    ["set", "a", "--tier", "flex", "--max-running", "3"],
    ["submit", "--gpus", "8", "--", "python", "-m", "x", "--flag"],
    ["submit", "optim.lr=1", "queue.team=a"],
    ["events", "-f"],
    ["clone", "a", "optim.lr=1"],
    ["up", "--detach", "--port", "0"],
    ["train", "optim.lr=1", "--dry-run"],
    ["show", "a", "--folder", "there"],
]
NOT_PLAIN = [
    ["ls", "--help"],
    ["ls", "--nonsense"],
    ["ls", "--limit", "many"],
    ["ls", "-ojson"],
    ["ls", "-o", "yaml"],
    ["ls", "extra"],
    ["why"],
    ["why", "a", "b"],
    ["why", "--output"],
    ["cancel", "a", "--now=yes"],
    ["logs", "a", "--rank", "0"],
    ["team", "ls"],
    ["nonsense"],
    ["--help"],
    [],
]


def recorder(function: Callable[..., int], seen: list[dict[str, Any]]) -> Callable[..., int]:
    def record(**arguments: Any) -> int:
        bound = inspect.signature(function).bind(**arguments)
        bound.apply_defaults()
        seen.append(dict(bound.arguments))
        return 0

    record.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    record.__annotations__ = function.__annotations__
    return record


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_both_ways_understand_the_same(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    record = recorder(load(words[0]), seen)  # type: ignore[arg-type]
    monkeypatch.setattr(plain_call, "load", lambda _: record)
    call = plain_call.plain_call(words)
    assert call is not None
    assert call() == 0
    app = typer.Typer(add_completion=False)
    app.command(words[0])(record)
    typer.main.get_command(app)(args=words[1:], standalone_mode=False)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("words", NOT_PLAIN, ids=" ".join)
def test_what_is_not_entirely_plain_is_left_to_typer(words: list[str]) -> None:
    assert plain_call.plain_call(words) is None


def test_an_option_from_the_environment_is_left_to_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain_call.plain_call(["show", "a"]) is not None
    monkeypatch.setenv("OSTINATO_RUNS", "there")
    assert plain_call.plain_call(["show", "a"]) is None


def test_every_command_can_be_loaded() -> None:
    for name in COMMANDS:
        found = load(name)
        assert isinstance(found, typer.Typer) or inspect.getdoc(found)
    with pytest.raises(TypeError):
        del commands.Commands(COMMANDS)["ls"]


def test_ls_and_why_import_next_to_nothing(tmp_path: Path) -> None:
    """Typer alone costs a third of the 120 ms that they may take; pydantic, Rich or numpy would cost the rest."""
    heavy = (
        "torch", "ray", "hydra", "omegaconf", "numpy", "pydantic", "rich", "fastapi", "sqlalchemy", "http.client",
        "ssl", "asyncio", "batch.job_queue", "batch.scheduler.decision", "configs", "trainer", "checkpoint",
    )  # fmt: skip
    with serving(tmp_path) as served:
        [job] = served.submit({"name": "plain"})
        code = (
            "import sys\nfrom scripts.cli import main\n"
            f"for words in (['ls'], ['ls', '-o', 'json'], ['why', {job!r}]):\n"
            "    code = main(words)\n"
            f"    found = [name for name in {heavy!r} if name in sys.modules]\n"
            "    assert (code, found) == (0, []), (words, code, found)\n"
        )
        environment = {"OSTINATO_CONTROLLER": served.url, "OSTINATO_TOKEN": "ost_operator"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=tmp_path,
            env={**os.environ, **environment, "PYTHONPATH": str(REPOSITORY)},
        )
    assert done.returncode == 0, done.stderr
    assert "plain" in done.stdout


def test_bytes_that_are_no_utf8_are_refused_with_words(ostinato: Ostinato) -> None:
    said = ostinato("ls", "--name", os.fsdecode(b"caf\xe9"))
    assert (said.code, "word 3, 'caf\\udce9': is not UTF-8" in said.err) == (2, True), said.err
