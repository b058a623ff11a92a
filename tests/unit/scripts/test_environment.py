"""The set-up of .venv: each way to fail gives one clear line, and an interrupted call can be repeated.

Most tests use a Python written in bash, whose `pip install` only takes notes; the unreachable registry has a real one.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
TOOLS = (
    "bash", "awk", "cat", "cp", "cut", "df", "dirname", "flock", "grep", "mkdir", "mv", "rm", "sha256sum", "sleep",
    "tail", "touch",
)  # fmt: skip
FAKE_PYTHON = """#!/bin/bash
case "$*" in
    *version_info*) echo "$FAKE_VERSION" ;;
    *"import ensurepip"*) [[ -z $FAKE_WITHOUT_VENV ]] ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"pip install"*)
        echo "$*" >>"$FAKE_NOTES/installs"
        echo "Collecting torch==2.13.0"
        if [[ -n $FAKE_PIP_OUTPUT ]]; then echo "$FAKE_PIP_OUTPUT"; exit 1; fi
        touch "$FAKE_NOTES/pip_started"
        while [[ -n $FAKE_PIP_WAITS && ! -e $FAKE_NOTES/pip_may_end ]]; do sleep 0.05; done
        ;;
    "-m scripts."*) echo "ran $*" ;;
esac
"""
DEADLINE_S = 240


class Checkout:
    """A copy of the scripts beside a fake Python, and nothing else on the PATH than the few tools they need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        shutil.copytree(REPOSITORY / "scripts", self.folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(REPOSITORY / name, self.folder)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path is not None, f"the tests need {tool}"
            (self.bin / tool).symlink_to(path)
        self.notes = folder / "notes"
        self.notes.mkdir()
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(folder),
            "OSTINATO_MIN_FREE_GB": "0",
            "FAKE_NOTES": str(self.notes),
            "FAKE_VERSION": "3.12.4",
        }

    def add_python(self, name: str = "python3") -> None:
        path = self.bin / name
        path.write_text(FAKE_PYTHON)
        path.chmod(0o755)

    def start(self, command: str = "bench", environment: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.folder / "scripts" / command, "--list"],
            env=self.environment | dict(environment or {}),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            # Whoever started the tests in the background had SIGINT ignored, which children inherit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def call(self, command: str = "bench", **environment: str) -> tuple[int, str, list[str]]:
        """Run a script to its end; return exit code, output, and the lines that are not about progress."""
        process = self.start(command, environment)
        output, errors = process.communicate(timeout=DEADLINE_S)
        return process.returncode, output, errors.splitlines()

    def installs(self) -> list[str]:
        path = self.notes / "installs"
        return path.read_text().splitlines() if path.exists() else []

    def is_ready(self) -> bool:
        state = self.folder / ".venv" / "ostinato"
        return any(state.glob("*.stamp")) and not (state / "unfinished").exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_first_call_installs_and_second_does_nothing(checkout: Checkout) -> None:
    checkout.add_python()
    code, output, errors = checkout.call()
    assert (code, output) == (0, "ran -m scripts.benchmarks --list\n")
    assert any("takes minutes" in line for line in errors)
    assert errors[-1].startswith("bench: installed in ")
    assert checkout.call() == (0, "ran -m scripts.benchmarks --list\n", [])
    [install] = checkout.installs()
    assert "--constraint" in install
    assert install.endswith("checkout[dev]")


def test_quickstart_needs_the_runtime_only_and_is_content_with_more(checkout: Checkout) -> None:
    checkout.add_python()
    assert checkout.call("quickstart")[:2] == (0, "ran -m scripts.quickstart_demo --list\n")
    assert checkout.installs()[0].endswith("/checkout")
    checkout.call("bench")
    assert len(checkout.installs()) == 2
    (checkout.folder / ".venv/ostinato/runtime.stamp").unlink()
    assert checkout.call("quickstart")[2] == []


def test_changed_constraints_install_again_into_the_same_environment(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.call()
    kept = checkout.folder / ".venv" / "kept"
    kept.touch()
    with (checkout.folder / "constraints.txt").open("a") as constraints:
        constraints.write("another==1.0\n")
    assert checkout.call()[0] == 0
    assert len(checkout.installs()) == 2
    assert kept.exists()


def test_old_python_is_named_with_what_is_needed(checkout: Checkout) -> None:
    checkout.add_python()
    code, _, errors = checkout.call(FAKE_VERSION="3.8.10")
    assert code == 1
    assert errors == [
        f"bench: no suitable Python: found 3.8.10 ({checkout.bin}/python3), needed 3.11, 3.12 or 3.13; "
        "install one, or name it with OSTINATO_PYTHON=/path/to/python"
    ]
    assert not (checkout.folder / ".venv").exists()


def test_no_python_at_all(checkout: Checkout) -> None:
    code, _, errors = checkout.call()
    assert code == 1
    assert "found none, needed 3.11, 3.12 or 3.13" in errors[0]


def test_a_suitable_python_behind_an_unsuitable_one_is_found(checkout: Checkout) -> None:
    checkout.add_python("python3.11")
    broken_shim = checkout.bin / "python3"
    broken_shim.write_text("#!/bin/bash\nexit 127\n")
    broken_shim.chmod(0o755)
    code, _, errors = checkout.call()
    assert code == 0
    assert f"bench: making .venv with {checkout.bin}/python3.11" in errors


def test_missing_venv_module_names_the_package_to_install(checkout: Checkout) -> None:
    checkout.add_python()
    code, _, errors = checkout.call(FAKE_WITHOUT_VENV="1")
    assert code == 1
    assert errors == [
        "bench: Python 3.12.4 has no venv module: install it (Debian, Ubuntu: apt install python3.12-venv) "
        "and call again"
    ]


def test_short_disk(checkout: Checkout) -> None:
    checkout.add_python()
    code, _, errors = checkout.call(OSTINATO_MIN_FREE_GB="1000000")
    assert code == 1
    assert len(errors) == 1
    assert "disk short: " in errors[0]
    assert "1000000 GB needed" in errors[0]
    assert not (checkout.folder / ".venv").exists()


def test_disk_full_while_installing(checkout: Checkout) -> None:
    checkout.add_python()
    message = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    code, _, errors = checkout.call(FAKE_PIP_OUTPUT=message)
    assert code == 1
    assert "disk full while installing" in errors[-1]
    assert not checkout.is_ready()


def test_other_failures_of_pip_are_quoted_with_the_place_of_the_rest(checkout: Checkout) -> None:
    checkout.add_python()
    code, _, errors = checkout.call(FAKE_PIP_OUTPUT="ERROR: a and b are in conflict")
    assert code == 1
    log = checkout.folder / ".venv/ostinato/pip.log"
    assert errors[-1] == f"bench: installing failed: ERROR: a and b are in conflict (all of it in {log})"
    assert checkout.call()[0] == 0


@pytest.mark.parametrize(
    ("retries", "reason"), [("0", r"setuptools>=77 (from versions: none)"), ("1", "Connection refused")]
)
def test_unreachable_registry(checkout: Checkout, retries: str, reason: str) -> None:
    with socket.socket() as bound_but_not_listening:
        bound_but_not_listening.bind(("127.0.0.1", 0))
        port = bound_but_not_listening.getsockname()[1]
        code, _, errors = checkout.call(
            OSTINATO_PYTHON=sys.executable,
            PIP_CONFIG_FILE=os.devnull,
            PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple",
            PIP_RETRIES=retries,
        )
    assert code == 1
    assert errors[-1] == (
        f"bench: the package registry cannot be reached ({reason}): check the network, the proxy settings and "
        "PIP_INDEX_URL; calling again resumes"
    )
    assert not checkout.is_ready()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_call_stops_pip_and_the_next_one_starts_anew(checkout: Checkout, signal_number: int) -> None:
    checkout.add_python()
    process = checkout.start(environment={"FAKE_PIP_WAITS": "1"})
    wait_until((checkout.notes / "pip_started").exists)
    os.killpg(process.pid, signal_number)
    _, errors = process.communicate(timeout=DEADLINE_S)  # returns when pip, which holds the pipe too, is gone
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "bench: interrupted; call again to go on"
    assert not checkout.is_ready()

    code, output, errors_again = checkout.call()
    assert (code, output) == (0, "ran -m scripts.benchmarks --list\n")
    assert errors_again[0] == "bench: removing an unfinished .venv"
    assert checkout.is_ready()


def test_two_calls_at_once_install_once(checkout: Checkout) -> None:
    checkout.add_python()
    first = checkout.start(environment={"FAKE_PIP_WAITS": "1"})
    wait_until((checkout.notes / "pip_started").exists)
    second = checkout.start()
    assert second.stderr is not None
    assert second.stderr.readline() == "bench: another call is setting up .venv; waiting for it\n"
    (checkout.notes / "pip_may_end").touch()
    for process in (first, second):
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0
    assert errors == ""
    assert len(checkout.installs()) == 1


def test_an_environment_whose_interpreter_is_gone_is_made_again(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.call()
    (checkout.folder / ".venv/bin/python").unlink()
    code, _, errors = checkout.call()
    assert code == 0
    assert "bench: removing an unfinished .venv" in errors
