"""The job that makes a planned run."""

from typing import TYPE_CHECKING, Any

from scripts.cli.queue_connection import user_name
from scripts.cli.submit_command import job_of

if TYPE_CHECKING:
    from scripts.planning.rungs import Rung


def planned_job(rung: "Rung") -> dict[str, Any]:
    """Return the job of a rung as the queue takes it, named after its run."""
    return {**job_of(rung.composed, rung.overrides), "name": rung.run.run, "user": user_name()}
