"""`python -P -m scripts.run_job PAYLOAD.json`: one attempt of a job of kind `train`, as its agent starts it.

Composes the run, launches it, stays with it to its end, and leaves with the trainer's exit code (75: it saved, and goes
on with the next attempt). Where the run got to is found in its checkpoints.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.json_values import from_json
from scripts.train_payload import TrainAttempt

if TYPE_CHECKING:
    from configs.compose import Composed

_NAME_LENGTH = 100


def compose_attempt(attempt: TrainAttempt) -> "Composed":
    """Return the configuration of the run that `attempt` belongs to. Raises a ConfigError."""
    from configs.compose import compose, compose_document  # noqa: PLC0415 - Hydra, only where it is needed

    payload = attempt.payload
    code = Path(attempt.code_folder) if attempt.code_folder else Path.cwd()
    config_dirs = [code / folder for folder in payload.config_dirs]
    if payload.document is None:
        composed = compose([*payload.base, *payload.overrides], config_dirs=config_dirs)
    else:
        composed = compose_document(payload.document, payload.overrides, origin="the job", config_dirs=config_dirs)
    return _placed(composed, attempt)


def _placed(composed: "Composed", attempt: TrainAttempt) -> "Composed":
    """Return `composed` as the job's pool runs it. A run that has no name of its own is named after the job.

    So two jobs of one configuration, and the members of a sweep, are different runs wherever their checkpoints lie.
    """
    from configs.documents import to_document  # noqa: PLC0415

    spec = composed.spec
    name = str(spec.run.name)
    document = attempt.payload.document
    if attempt.payload.overrides or (document is not None and document["run"].get("name") is None):
        name = f"{name[: _NAME_LENGTH - len(attempt.job) - 1]}-{attempt.job}"
    code_folders = spec.cluster.code_folders
    if attempt.code_folder:
        code_folders = tuple(str(Path(attempt.code_folder) / folder) for folder in code_folders)
    spec = replace(
        spec,
        run=replace(spec.run, name=name, folder=attempt.folder),
        cluster=replace(spec.cluster, address=attempt.cluster, code_folders=code_folders),
    )
    return replace(composed, spec=spec, document=to_document(spec))


def run_attempt(attempt: TrainAttempt) -> int:
    """Train until the attempt ends, and return its exit code. Blocking; in the main thread."""
    from scripts.starting import prepare  # noqa: PLC0415
    from trainer.launcher import launch  # noqa: PLC0415 - Ray

    start = prepare(compose_attempt(attempt))
    for warning in start.composed.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if start.is_finished():
        return 0
    plan = replace(start.plan, job=attempt.job, lease=attempt.lease)
    outcome = launch(plan, lambda event: None, begin=lambda: start.create(["submit", attempt.job]))
    if outcome.exit_code:
        sys.stderr.write(f"{outcome.state}: {outcome.reason}\n")
    return outcome.exit_code


def main(path: Path) -> int:
    """Run the attempt in `path` and return the exit code; errors become one message in the log."""
    from scripts.cli.cli_errors import report_error  # noqa: PLC0415

    attempt = from_json(TrainAttempt, json.loads(path.read_text()), "attempt")
    try:
        return run_attempt(attempt)
    except Exception as error:  # noqa: BLE001 - every error ends here, as a message and an exit code
        return report_error(error, as_json=False)


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.exit(main(Path(sys.argv[1])))
