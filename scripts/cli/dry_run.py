"""What `--dry-run` shows: everything that follows from a configuration before anything is started."""

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.redact import redacted
from configs.render import to_yaml
from scripts.cli.output import OutputFormat, console, format_bytes, print_facts, print_json
from scripts.memory_estimate import MemoryEstimate, estimate_memory
from scripts.starting import Start


def show_dry_run(start: Start, output: OutputFormat) -> None:
    """Print the resolved configuration, world size, batch arithmetic, memory, checkpoints, and whether it continues."""
    num_parameters = _parameter_count(start)
    memory = None if num_parameters is None else _memory(start, num_parameters)
    if output is OutputFormat.JSON:
        print_json(_document(start, num_parameters, memory))
        return
    console().print(to_yaml(start.composed.document, explain=True), soft_wrap=True)
    print_facts(_facts(start, num_parameters, memory))


def _parameter_count(start: Start) -> int | None:
    from recipes.models import parameter_count

    return parameter_count(start.plan.model)


def _memory(start: Start, num_parameters: int) -> MemoryEstimate:
    plan = start.plan
    return estimate_memory(
        num_parameters,
        ranks=plan.cluster.workers,
        zero_stage=plan.engine.zero_stage,
        precision=plan.engine.precision,
    )


def _document(start: Start, num_parameters: int | None, memory: MemoryEstimate | None) -> dict[str, Any]:
    plan = start.plan
    return {
        "run": plan.name,
        "folder": str(plan.folder),
        "exists": start.exists,
        "finished": start.is_finished(),
        "checkpoint_url": plan.checkpoint_url,
        "world_size": plan.cluster.workers,
        "batch": asdict(plan.batch_plan()),
        "parameters": num_parameters,
        "memory_per_rank": None if memory is None else {**asdict(memory), "total_bytes": memory.total_bytes},
        "configuration": redacted(start.composed.document),
        "warnings": list(start.composed.warnings),
    }


def _facts(start: Start, num_parameters: int | None, memory: MemoryEstimate | None) -> dict[str, object]:
    plan, batch = start.plan, start.plan.batch_plan()
    facts: dict[str, object] = {
        "run": f"{plan.name}: {_existence(start)}",
        "folder": plan.folder,
        "world size": f"{plan.cluster.workers} ({plan.cluster.address} Ray, accelerator {plan.cluster.accelerator})",
        "global batch": f"{batch.global_batch} = {batch.micro_batch} per micro-batch x {batch.accumulation} "
        f"accumulated x {batch.ranks} ranks",
        "samples": f"{plan.run.steps * batch.global_batch} in {plan.run.steps} steps",
        "checkpoints": f"every {plan.checkpoint.every_steps} steps to {plan.checkpoint_url}",
    }
    if num_parameters is None or memory is None:
        facts["parameters"] = "unknown, brought by _target_"
        facts["memory per rank"] = "unknown, brought by _target_"
        return facts
    facts["parameters"] = f"{num_parameters:,}"
    facts["memory per rank"] = _memory_words(memory, start)
    facts["snapshots per rank"] = _snapshot_words(memory, start)
    return facts


def _existence(start: Start) -> str:
    if start.is_finished():
        return "exists and is finished"
    return "exists, would be continued" if start.exists else "new"


def _memory_words(memory: MemoryEstimate, start: Start) -> str:
    parts = {
        "weights": memory.weight_bytes,
        "gradients": memory.gradient_bytes,
        "masters": memory.master_bytes,
        "moments": memory.moment_bytes,
    }
    words = " + ".join(f"{format_bytes(size)} {name}" for name, size in parts.items())
    engine = start.plan.engine
    return (
        f"{format_bytes(memory.total_bytes)} = {words} (ZeRO {engine.zero_stage}, {engine.precision}; "
        "activations and buffers come on top)"
    )


def _snapshot_words(memory: MemoryEstimate, start: Start) -> str:
    folder = Path(start.plan.checkpoint.arena_folder)
    words = f"{format_bytes(memory.snapshot_bytes)} in {folder}"
    if not os.access(folder, os.W_OK):
        return f"{words}, which cannot be written on this machine"
    return f"{words}, which has {format_bytes(shutil.disk_usage(folder).free)} free on this machine"
