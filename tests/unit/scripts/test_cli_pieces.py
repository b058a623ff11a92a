"""The small parts: progress, events in words, memory arithmetic, origin, doctor's checks."""

import fcntl
import io
import os
import socket
from pathlib import Path

import pytest
from fixtures_cli import Ostinato
from rich.console import Console

from scripts.cli import doctor_checks as checks
from scripts.cli.doctor_checks import Status
from scripts.cli.event_text import _WORDINGS, event_text
from scripts.cli.output import format_age, format_bytes, format_duration, plural
from scripts.cli.progress import PlainLines, TerminalBar, _bar
from scripts.memory_estimate import estimate_memory
from scripts.origin import PACKAGES, ForeignPackageError, check_origin

STEP = {"event": "step", "loss": 1.25, "lr": 1e-3, "grad_norm": None, "samples_per_s": 100.0}


def test_plain_lines_show_the_first_and_last_step_and_one_now_and_then() -> None:
    lines: list[str] = []
    now_s = 0.0
    observe = PlainLines(100, lines.append, clock=lambda: now_s)
    for step in range(1, 101):
        now_s = step * 0.2
        observe({**STEP, "step": step})
    shown = [int(line.split()[1].split("/")[0]) for line in lines]
    assert (shown[0], shown[-1]) == (1, 100)
    assert 4 <= len(shown) <= 6


def test_plain_lines_show_what_a_person_wants_to_know() -> None:
    lines: list[str] = []
    observe = PlainLines(100, lines.append)
    observe({"event": "worker_died", "worker": 1, "pid": 7, "message": "killed by SIGKILL"})
    observe({"event": "recovered", "step": 70, "seconds": 1.234, "steps_lost": 0})
    observe({"event": "samples", "ids": [1, 2]})
    assert lines == [
        "rank 1 (process 7) failed: killed by SIGKILL",
        "recovered in 1.23 s at step 70; 0 steps repeated",
    ]


def test_the_bar_shows_loss_speed_and_the_last_checkpoint() -> None:
    out = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    with _bar(out) as bar:
        observe = TerminalBar(bar, bar.add_task("mine", total=10, loss="-", speed="-", saved="-"))
        observe({**STEP, "step": 3})
        observe({"event": "checkpoint_committed", "step": 2, "bytes": 10, "seconds": 0.1})
        observe({"event": "worker_died", "worker": 1, "pid": 7, "message": "gone"})
    text = out.file.getvalue()  # type: ignore[attr-defined]
    for part in ("3/10", "loss 1.2500", "100 samples/s", "saved 2", "rank 1 (process 7) failed: gone"):
        assert part in text


@pytest.mark.parametrize("name", sorted(_WORDINGS))
def test_every_wording_survives_an_event_without_its_fields(name: str) -> None:
    assert event_text({"event": name})


def test_events_nobody_knows_are_left_to_programs() -> None:
    assert event_text({"event": "something_new"}) is None
    assert event_text({}) is None


def test_sizes_durations_and_ages_in_words() -> None:
    assert [format_bytes(size) for size in (0, 1023, 1536, 2**30, 2**42)] == [
        "0 B", "1023 B", "1.5 KiB", "1.0 GiB", "4.0 TiB",
    ]  # fmt: skip
    assert [format_duration(seconds) for seconds in (1.4, 61, 3723)] == ["1 s", "1:01", "1:02:03"]
    assert (format_age(None), format_age(100.0, 161.0), format_age(100.0, 90.0)) == ("-", "1:01 ago", "0 s ago")
    assert (plural(1, "step"), plural(2, "step")) == ("1 step", "2 steps")


@pytest.mark.parametrize(
    ("stage", "precision", "expected"),
    [
        (0, "fp32", (4000, 4000, 0, 8000)),
        (1, "fp32", (4000, 4000, 1000, 2000)),
        (1, "bf16", (2000, 2000, 1000, 2000)),
        (2, "bf16", (2000, 500, 1000, 2000)),
        (3, "bf16", (500, 500, 1000, 2000)),
    ],
)
def test_memory_follows_the_zero_paper(stage: int, precision: str, expected: tuple[int, ...]) -> None:
    memory = estimate_memory(1000, ranks=4, zero_stage=stage, precision=precision)
    assert (memory.weight_bytes, memory.gradient_bytes, memory.master_bytes, memory.moment_bytes) == expected
    assert memory.total_bytes == sum(expected)
    assert memory.snapshot_bytes == 3 * 12 * 250


def test_our_packages_come_from_here() -> None:
    check_origin()


def test_a_package_from_elsewhere_or_from_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zz_single.py").touch()
    (tmp_path / "zz_namespace").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("zz_single", "zz_namespace"):
        with pytest.raises(ForeignPackageError, match=f"import {name}` would take {tmp_path}"):
            check_origin([name])
    with pytest.raises(ForeignPackageError, match="cannot be found"):
        check_origin(["zz_absent"])
    assert "trainer" in PACKAGES


def test_doctor_in_this_environment(ostinato: Ostinato, tmp_path: Path) -> None:
    found = ostinato("doctor", "--url", str(tmp_path / "store"), "-o", "json").value
    by_name = {check["name"]: check for check in found}
    assert by_name["Python"]["status"] == "ok"
    assert by_name["our packages"]["status"] == "ok"
    assert by_name["store"]["status"] == "ok"
    assert "accelerators" in by_name


def test_doctor_ends_with_4_when_something_is_wrong(ostinato: Ostinato, tmp_path: Path) -> None:
    said = ostinato("doctor", "--arena-folder", str(tmp_path / "nothing"))
    assert (said.code, "-> give another checkpoint.arena_folder" in said.out) == (4, True)


def test_check_python() -> None:
    assert checks.check_python((3, 12)).status is Status.OK
    assert checks.check_python((3, 10)).status is Status.PROBLEM


def test_check_packages() -> None:
    tried = {"torch": "2.13.0"}
    assert checks.check_packages(["torch"], tried, {"torch": "2.13.0"}).status is Status.OK
    assert checks.check_packages(["torch"], tried, {"torch": "2.14.0"}).status is Status.WARNING
    assert checks.check_packages(["torch", "ray"], tried, {"torch": "2.13.0"}).found == "missing: ray"


def test_required_packages_are_canonical_and_without_extras() -> None:
    required = checks.required_packages()
    assert {"torch", "hydra-core", "ray", "pyyaml"} <= set(required)
    assert "pytest" not in required


def test_check_ray() -> None:
    assert checks.check_ray(None).status is Status.OK
    assert checks.check_ray("nonsense").status is Status.PROBLEM
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert checks.check_ray(f"127.0.0.1:{port}").status is Status.OK
    assert checks.check_ray(f"127.0.0.1:{port}").status is Status.PROBLEM


def test_check_compiler() -> None:
    assert checks.check_compiler(lambda name: f"/bin/{name}").found == "/bin/c++"
    assert checks.check_compiler(lambda name: None).status is Status.WARNING


def test_check_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert checks.check_disk(tmp_path / "a/b/runs").status in {Status.OK, Status.WARNING}


def test_check_leftovers_tells_what_is_held_from_what_is_not(tmp_path: Path) -> None:
    assert checks.check_leftovers(tmp_path).status is Status.OK
    home = tmp_path / f"ostinato-{os.getuid()}"
    for name in ("living", "left"):
        (home / name / "1-1").mkdir(parents=True)
        (home / name / "1-1/r0.arena").write_bytes(b"x" * 8192)
    with (home / "living/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = checks.check_leftovers(tmp_path)
    assert found.status is Status.WARNING
    assert found.found.endswith(" of left")
    assert str(home) in str(found.advice)


def test_check_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = checks.check_store(str(tmp_path / "file/below"), {})
    assert (found.status, found.advice is not None) == (Status.PROBLEM, True)
