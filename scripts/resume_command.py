"""The command that goes on with a run."""

import shlex
from pathlib import Path

DEFAULT_RUNS_FOLDER = Path("runs")


def resume_command(name: str, run_path: Path) -> str:
    """Return what to type, in the current folder, to go on with the run in `run_path`."""
    in_default_folder = run_path.parent == DEFAULT_RUNS_FOLDER.resolve()
    return f"ostinato resume {name if in_default_folder else shlex.quote(str(run_path))}"
