"""Events in words, one line each; the same on the terminal, in plain output and in logs."""

from collections.abc import Callable, Mapping
from typing import Any

from scripts.cli.output import plural

Event = Mapping[str, Any]


def event_text(event: Event) -> str | None:
    """Return one line for a person, or None for events that only programs need."""
    wording = _WORDINGS.get(str(event.get("event")))
    return None if wording is None else wording(event)


def step_text(event: Event, steps: int) -> str:
    """Return the line of one optimizer step."""
    text = f"step {event['step']}/{steps}  loss {_number(event.get('loss'), '.4f')}"
    text += f"  {_number(event.get('samples_per_s'), '.0f')} samples/s  lr {_number(event.get('lr'), '.2e')}"
    norm = event.get("grad_norm")
    return text if norm is None else f"{text}  grad norm {_number(norm, '.3f')}"


def _number(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, (int, float)) else "-"


def _run_started(event: Event) -> str:
    workers, steps = plural(event.get("workers", 0), "worker"), plural(event.get("steps", 0), "step")
    return f"attempt {event.get('attempt')}: {workers}, {steps}"


def _worker_started(event: Event) -> str:
    return f"rank {event.get('worker')} runs on {event.get('node')} as process {event.get('pid')}"


def _worker_died(event: Event) -> str:
    return f"rank {event.get('worker')} (process {event.get('pid')}) failed: {event.get('message')}"


def _decision(event: Event) -> str:
    # Why it gives up is said once, at the end.
    return "AutoResume: gives up" if event.get("verdict") == "GiveUp" else f"AutoResume: {event.get('reason')}"


def _restored(event: Event) -> str:
    seconds = _number(event.get("seconds"), ".2f")
    return f"rank {event.get('rank')} restored step {event.get('step')} from {event.get('origin')} in {seconds} s"


def _recovered(event: Event) -> str:
    seconds = _number(event.get("seconds"), ".2f")
    return (
        f"recovered in {seconds} s at step {event.get('step')}; {plural(event.get('steps_lost', 0), 'step')} repeated"
    )


def _evaluation(event: Event) -> str:
    metrics = event.get("metrics", {})
    shown = list(metrics.items())[:4]
    text = ", ".join(f"{name} {_number(value, '.3f')}" for name, value in shown)
    more = f" and {len(metrics) - len(shown)} more" if len(metrics) > len(shown) else ""
    return f"evaluation at step {event.get('step')}: {text}{more}"


def _committed(event: Event) -> str:
    return f"checkpoint of step {event.get('step')} is durable after {_number(event.get('seconds'), '.2f')} s"


def _ended(event: Event) -> str:
    reason = event.get("reason")
    text = f"{str(event.get('event')).replace('_', ' ')} at step {event.get('step')}"
    return text if reason is None else f"{text}: {reason}"


def _failed(event: Event) -> str:
    step = event.get("step")
    return "run failed before the first step" if step is None else f"run failed after step {step}"


_WORDINGS: dict[str, Callable[[Event], str]] = {
    "run_started": _run_started,
    "supervisor_restarted": lambda event: "the supervisor was restarted and has taken up the run",
    "worker_started": _worker_started,
    "workers_not_started": lambda event: f"workers could not be started: {event.get('message')}",
    "worker_died": _worker_died,
    "decision": _decision,
    "restored": _restored,
    "recovered": _recovered,
    "evaluation": _evaluation,
    "checkpoint_committed": _committed,
    "checkpoint_skipped": lambda event: f"no checkpoint of step {event.get('step')}: {event.get('reason')}",
    "checkpoint_damaged": lambda event: f"DAMAGED, and given up: {event.get('message')}",
    "checkpoint_failed": lambda event: f"THE CHECKPOINT OF STEP {event.get('step')} FAILED: {event.get('error')}",
    "run_finished": _ended,
    "run_failed": _failed,
    "run_interrupted": _ended,
}
