"""A real agent process for tests (`python -m tests.fixtures_agent FOLDER URL`), and a handle to kill and start it."""

import signal
import subprocess
import sys
from pathlib import Path

from batch.agent.agent import Agent
from batch.agent.atomic_files import read_json
from batch.agent.attempts import Attempts
from batch.agent.command import CommandLauncher
from batch.agent.controller_link import ControllerLink
from batch.agent.held_leases import AgentFolder
from batch.agent.job_code import JobCode
from batch.agent.logs import LogStore
from batch.agent.node_processes import NOBODY, LocalProcesses
from batch.agent.process_identity import ProcessIdentity
from batch.model import Node

REPOSITORY = Path(__file__).resolve().parent.parent


def serve(path: Path, url: str) -> None:
    """Run an agent with two nodes on this machine until SIGTERM."""
    processes = LocalProcesses([Node("here", 2, 4), Node("there", 2, 4)])
    folder = AgentFolder(path)
    link = ControllerLink(url, "local")
    code = JobCode(folder.path / "code", link.code)
    logs = LogStore(folder.path / "logs")
    attempts = Attempts(folder, {"command": CommandLauncher(processes)}, processes, code, logs)
    agent = Agent(folder, attempts, processes, lambda: ControllerLink(url, "local"), wait_s=5.0)
    signal.signal(signal.SIGTERM, lambda *_: agent.stop())
    agent.run()


def kill_jobs(folder: Path) -> None:
    """Kill what the jobs of the agent in `folder` have left behind, and nothing else."""
    for path in folder.glob("jobs/*/attempts/*/rank-*/started.json"):
        process = str((read_json(path) or {})["process"])
        if process != NOBODY:
            mark = f"OSTINATO_CHECKPOINT_FILE={path.parent.parent / 'checkpoint.json'}"
            ProcessIdentity.parse(process).kill_session(mark)


class AgentProcess:
    """An agent process that can be killed and started again on the same folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "tests.fixtures_agent", str(self.folder), self._url]
        self._process = subprocess.Popen(command, cwd=REPOSITORY)

    def kill(self) -> None:
        """SIGKILL, as a machine would."""
        self._end(signal.SIGKILL)

    def leave(self) -> int:
        """SIGTERM; return the exit code."""
        return self._end(signal.SIGTERM)

    def kill_jobs(self) -> None:
        """Kill what its jobs have left behind, and nothing else."""
        kill_jobs(self.folder)

    def has_left(self) -> bool:
        """Return whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._process = None
        return code


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
