"""A Slurm controller of our own to measure beside: `slurmctld` and `munged` on free ports, in a temporary folder.

Its jobs are held, and nothing runs them: what is measured is how it takes them. Nothing of the system's own Slurm, if
there is one, is read or changed.
"""

import getpass
import os
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("slurmctld", "munged", "sbatch", "scancel", "squeue")
PARALLEL = 8
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_START_TIMEOUT_S = 20.0
_CALL_TIMEOUT_S = 120.0
_CONFIGURATION = """\
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
SwitchType=switch/none
TaskPlugin=task/none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldPort={port}
SlurmdPort={node_port}
SchedulerType=sched/backfill
SchedulerParameters=defer_batch,max_array_tasks=100001
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MaxJobCount=1000000
MaxArraySize=100002
MinJobAge=10
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SlurmctldDebug=info
SlurmctldLogFile={folder}/slurmctld.log
PriorityType=priority/basic
NodeName=node NodeAddr=127.0.0.1 NodeHostname={host} CPUs=1024 State=UNKNOWN
PartitionName=main Nodes=node Default=YES MaxTime=INFINITE State=UP
"""


class SlurmAbsentError(Exception):
    """There is no Slurm here that could be measured, and why."""


@dataclass(frozen=True, slots=True)
class Slurm:
    """A controller that answers."""

    folder: Path
    environment: dict[str, str]

    def submit_many(self, count: int) -> float:
        """Submit `count` held jobs by 8 `sbatch` at a time; return jobs per second. Takes them away again after."""
        numbers = self.folder / "numbers"
        numbers.write_text("\n".join(map(str, range(count))))
        words = ["sbatch", "--hold", "--quiet", "--output=/dev/null", str(self._script())]
        began_s = time.perf_counter()
        self._call("xargs", f"--arg-file={numbers}", f"--max-procs={PARALLEL}", "--max-args=1", *words)
        rate = count / (time.perf_counter() - began_s)
        self._cancel_all()
        return rate

    def submit_array_ms(self, members: int) -> float:
        """Submit one held array of so many tasks; return the milliseconds of `sbatch`."""
        began_s = time.perf_counter()
        self._call("sbatch", "--hold", "--quiet", f"--array=0-{members - 1}", "--output=/dev/null", str(self._script()))
        taken_ms = 1e3 * (time.perf_counter() - began_s)
        self._cancel_all()
        return taken_ms

    def answers(self) -> bool:
        """Return whether the controller takes requests."""
        return subprocess.run(["squeue"], env=self.environment, capture_output=True, check=False).returncode == 0

    def _script(self) -> Path:
        script = self.folder / "job.sh"
        script.write_text("#!/bin/sh\nexit 0\n")
        return script

    def _cancel_all(self) -> None:
        self._call("scancel", f"--user={getpass.getuser()}")

    def _call(self, *words: str) -> None:
        subprocess.run(words, env=self.environment, capture_output=True, check=True, timeout=_CALL_TIMEOUT_S)


@contextmanager
def slurm() -> Iterator[Slurm]:
    """Run a Slurm controller. Raises SlurmAbsentError without the programs, or if it does not start."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        raise SlurmAbsentError(f"{', '.join(missing)} not found; install slurm-wlm and munge to measure beside Slurm")
    with tempfile.TemporaryDirectory(prefix="ostinato-slurm-") as name, ExitStack() as stack:
        folder = Path(name)
        environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
        _configure(folder)
        munge = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key"]
        munge += [f"--{what}={folder}/munge.{what.partition('-')[0]}" for what in ("socket", "pid-file", "seed-file")]
        stack.enter_context(_running([*munge, f"--log-file={folder}/munge.log"], folder, environment))
        stack.enter_context(_running(["slurmctld", "-D", "-f", f"{folder}/slurm.conf"], folder, environment))
        controller = Slurm(folder, environment)
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not controller.answers():
            if time.monotonic() > deadline_s:
                raise SlurmAbsentError(f"slurmctld did not answer: {_last_line(folder / 'slurmctld.log')}")
            time.sleep(0.1)
        yield controller


def version() -> str | None:
    """Return what `slurmctld -V` says, None when it is not there."""
    program = shutil.which("slurmctld", path=_path())
    if program is None:
        return None
    return subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stdout.strip()


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"


def _configure(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    (folder / "slurm.conf").write_text(
        _CONFIGURATION.format(
            folder=folder,
            host=platform.node().partition(".")[0],
            user=getpass.getuser(),
            port=_free_port(),
            node_port=_free_port(),
        )
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _running(words: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / "output.log").open("ab") as output:
        process = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return lines[-1] if lines else "it wrote nothing"
