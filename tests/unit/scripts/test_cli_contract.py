"""What every call promises: light start, stable exit codes, one clear message, no colour when piped, completion."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_cli import Ostinato, make_run
from fixtures_sources import REPOSITORY

from batch import errors as batch_errors
from checkpoint import errors as checkpoint_errors
from configs import errors as config_errors
from recipes import errors as recipe_errors
from scripts.cli import main
from scripts.cli.cli_errors import exit_code_of, wants_json
from scripts.cli.commands import COMMANDS
from scripts.cli.completion import complete_overrides, complete_runs
from scripts.cli.exit_codes import ExitCode
from trainer import errors as trainer_errors

HEAVY = ("torch", "ray", "hydra", "omegaconf", "deepspeed", "numpy", "pyarrow", "grain", "obstore")
LIGHT_CALLS = [
    ["--help"],
    ["train", "--help"],
    ["runs"],
    ["runs", "-o", "json"],
    ["show", "mine"],
    ["logs", "mine"],
    ["logs", "--help"],
    ["stop", "mine"],
    ["checkpoints", "--help"],
    ["doctor", "--help"],
]


def run_python(code: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


def test_light_calls_import_nothing_heavy(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "mine", record={"state": "finished", "step": 3}, steps=[(3, 1.0)])
    code = (
        "import json, sys\nfrom scripts.cli import main\n"
        f"for words in {LIGHT_CALLS!r}:\n"
        "    code = main(words)\n"
        f"    heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    assert (code, heavy) == (0, []), (words, code, heavy)\n"
    )
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom scripts.cli.completion import complete_overrides as c, complete_runs\n"
        "assert 'engine=zero3' in c('engine='), c('engine=')\nassert complete_runs('') == []\n"
        f"assert not [name for name in {HEAVY!r} if name in sys.modules]\n"
    )
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_shell_is_offered_runs_groups_options_and_keys(ostinato: Ostinato) -> None:
    make_run(Path("runs"), "alpha")
    make_run(Path("runs"), "beta")
    assert sorted(complete_runs("")) == ["alpha", "beta"]
    assert complete_runs("al") == ["alpha"]
    assert "engine=" in complete_overrides("en")
    assert "optim.lr=" in complete_overrides("optim.")
    assert complete_overrides("model=clip_n") == ["model=clip_ngram"]
    assert complete_overrides("engine.precision=") == ["engine.precision=fp32", "engine.precision=bf16"]
    assert complete_overrides("engine.activation_checkpointing=t") == ["engine.activation_checkpointing=true"]
    assert complete_overrides("no.such=") == []


def test_completion_works_through_the_shell(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "alpha")
    done = run_python(
        "from scripts.cli import main; main()",
        tmp_path,
        _OSTINATO_COMPLETE="complete_bash",
        COMP_WORDS="ostinato show al",
        COMP_CWORD="2",
    )
    assert done.stdout.split() == ["alpha"]


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", "show", "nothing"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


@pytest.mark.parametrize("words", [["nonsense"], ["show"], ["train", "--nonsense"], ["logs", "x", "--rank", "y"]])
def test_command_lines_that_cannot_be_meant(ostinato: Ostinato, words: list[str]) -> None:
    said = ostinato(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err
    assert "Traceback" not in said.err


def test_no_command_at_all_shows_the_help(ostinato: Ostinato) -> None:
    said = ostinato()
    assert (said.code, "checkpoints" in said.out + said.err) == (2, True)


def test_usage_errors_are_json_too(ostinato: Ostinato) -> None:
    error = ostinato("train", "--nonsense", "-o", "json").error
    assert (error["kind"], error["exit_code"]) == ("UsageError", 2)


def test_a_configuration_error_lists_its_problems_in_json(ostinato: Ostinato) -> None:
    error = ostinato("train", "optim.lrr=1", "run.steps=0", "-o", "json").error
    assert error["kind"] == "SchemaError"
    assert [problem["path"] for problem in error["problems"]] == ["run.steps", "optim.lrr"]


def test_the_unforeseen_is_one_line_and_a_traceback_with_debug(
    ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr("scripts.cli.runs_commands.list_runs", fail)
    said = ostinato("runs")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "broken disk" in said.err
    assert "--debug" in said.err
    for words in (["--debug", "runs"], ["runs", "--debug"]):
        assert "Traceback" in ostinato(*words).err


def test_ctrl_c_without_anything_to_save(ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.cli.runs_commands.list_runs", interrupt)
    assert ostinato("runs").code == ExitCode.ABORTED


def test_piped_output_has_no_colour_and_cuts_nothing(ostinato: Ostinato) -> None:
    name = "a-very-long-name-" + "x" * 80
    make_run(Path("runs"), name, record={"state": "failed", "reason": "r" * 300})
    for words in (["runs"], ["show", name], ["config", "show"], ["--help"]):
        assert "\x1b[" not in ostinato(*words).out
    assert name in ostinato("runs").out
    assert "r" * 300 in ostinato("show", name).out


def test_every_error_of_ours_has_a_code_that_is_no_success() -> None:
    for module in (batch_errors, checkpoint_errors, config_errors, recipe_errors, trainer_errors):
        for name in dir(module):
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, Exception):
                assert exit_code_of(kind.__new__(kind)) in {1, 2, 3, 4, 75}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (config_errors.SchemaError([]), 2),
        (trainer_errors.BatchError("x"), 2),
        (checkpoint_errors.StoreDenied("x"), 4),
        (checkpoint_errors.DamagedError("x"), 1),
        (recipe_errors.NoCatalogueError("x"), 3),
        (trainer_errors.ClusterUnreachable("x"), 4),
        (batch_errors.ImpossibleShapeError("x"), 2),
        (batch_errors.NotFoundError("x"), 3),
        (batch_errors.ControllerUnreachable("x"), 4),
        (batch_errors.LimitError("x"), 75),
        (ValueError("x"), 1),
    ],
)
def test_exit_codes_of_errors(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code


def test_exit_codes_do_not_change() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0, "FAILED": 1, "BAD_INPUT": 2, "NOT_FOUND": 3, "ENVIRONMENT": 4, "INTERRUPTED": 75, "ABORTED": 130,
    }  # fmt: skip


def test_the_documentation_names_every_command_and_exit_code() -> None:
    text = (REPOSITORY / "docs/cli.md").read_text()
    for code in ExitCode:
        assert re.search(rf"^\| {code.value} \|", text, re.MULTILINE), code
    documented = set(re.findall(r"`([a-z-]+)[^`]*`", "".join(re.findall(r"^\| (`.*?) \| ", text, re.MULTILINE))))
    assert documented == set(COMMANDS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["runs", "-o", "json"], True),
        (["runs", "--output=json"], True),
        (["runs", "-ojson"], True),
        (["runs", "-o", "text"], False),
        (["json", "-o"], False),
        ([], False),
    ],
)
def test_the_wish_for_json_is_seen_in_any_line(words: list[str], expected: bool) -> None:
    assert wants_json(words) is expected


def test_a_foreign_package_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "planner").mkdir()
    (tmp_path / "planner/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "planner", raising=False)
    assert main(["runs"]) == ExitCode.ENVIRONMENT
    assert f"take {tmp_path} off PYTHONPATH" in capsys.readouterr().err


def test_json_has_no_nan(ostinato: Ostinato) -> None:
    make_run(Path("runs"), "mine", record={"state": "failed"}, steps=[(1, float("nan"))])
    assert json.loads(ostinato("show", "mine", "-o", "json").out)["loss"] is None
