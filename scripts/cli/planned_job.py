"""The job that makes a planned run."""

from typing import TYPE_CHECKING, Any

from scripts.cli.queue_connection import user_name
from scripts.cli.submit_command import job_of
from scripts.planning.queue_jobs import LEDGER_HEAD

if TYPE_CHECKING:
    from planner.forecasts.ledger import Head
    from scripts.planning.rungs import Rung


def planned_job(rung: "Rung", head: "Head") -> dict[str, Any]:
    """Return the job of a rung as the queue takes it, named after its run, with the head of the ledger in its payload.

    `head` is the ledger's when it held the run's forecast: where the queue has it, a ledger that is cut shows.
    """
    job = job_of(rung.composed, rung.overrides)
    return {
        **job, "payload": {**job["payload"], LEDGER_HEAD: str(head)}, "name": rung.run.run, "user": user_name(),
    }  # fmt: skip
