"""A DeepSpeed step on two ranks over gloo, with the bytes that rank 0 really holds beside the estimate.

Run as `python -m scripts.benchmarks.measured_zero STAGE PRECISION`: it starts both ranks and prints one JSON object.
"""

import gc
import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.tape import Tape, Value
from planner.layout import Layout, Precision
from planner.memory import PLAIN, MemoryEstimate, estimate_memory
from planner.memory_profile import memory_profile

CASES = ((1, "bf16"), (2, "bf16"), (3, "bf16"), (1, "fp32"), (3, "fp32"))
RANKS = 2
_WIDTH, _LAYERS, _SAMPLES = 256, 6, 64
_BUCKET = 200_000
_DEADLINE_S = 120.0


def estimated(stage: int, precision: str) -> MemoryEstimate:
    """Return what the planner says, without buckets: those of this step are freed before its highest moment."""

    def layer(tape: Tape, x: Value) -> Value:
        inner = tape.activation("act", tape.linear("up", tape.norm("norm", x), 4 * _WIDTH, bias=True))
        return tape.add("residual", x, tape.linear("down", inner, _WIDTH, bias=True))

    def forward(tape: Tape, shape: BatchShape) -> None:
        tape.layers("blocks", ("layer",) * _LAYERS, lambda x, _: layer(tape, x), tape.given(shape.samples, _WIDTH))

    layout = Layout(dp=RANKS, zero=stage, micro_batch=_SAMPLES, precision=Precision(precision))
    model = Model("perceptrons", forward, BatchShape())
    return estimate_memory(memory_profile(model, BatchShape(_SAMPLES)), layout, PLAIN)


def measured(stage: int, precision: str) -> dict[str, Any]:
    """Start both ranks, wait for them, and return rank 0's figures beside the estimate. Raises RuntimeError."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = [sys.executable, "-W", "ignore", "-m", "scripts.benchmarks.measured_zero", str(stage), precision, port]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    ranks = [
        subprocess.Popen(
            [*words, str(rank)], cwd=Path(__file__).parents[2], env=environment, text=True, stdout=subprocess.PIPE
        )
        for rank in range(RANKS)
    ]
    try:
        said = [rank.communicate(timeout=_DEADLINE_S)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    if any(rank.returncode for rank in ranks):
        raise RuntimeError(f"ZeRO stage {stage} in {precision}: a rank ended with {[one.returncode for one in ranks]}")
    total = estimated(stage, precision).total_bytes
    return {"case": f"ZeRO {stage}, {precision}, {RANKS} ranks", "estimated_bytes": total, **json.loads(said[0])}


def _step_of_a_rank(stage: int, precision: str, port: str, rank: int) -> None:
    import deepspeed  # noqa: PLC0415 - in the ranks only
    import torch  # noqa: PLC0415
    import torch.distributed as dist  # noqa: PLC0415

    from planner.memory_torch import PeakTracker  # noqa: PLC0415
    from trainer.accelerators import ACCELERATORS  # noqa: PLC0415
    from trainer.device import open_device  # noqa: PLC0415
    from trainer.engine_deepspeed import join_deepspeed  # noqa: PLC0415

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS))
    store = dist.TCPStore("127.0.0.1", int(port), RANKS, is_master=rank == 0, timeout=timedelta(seconds=_DEADLINE_S))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS, timeout=timedelta(seconds=_DEADLINE_S))
    join_deepspeed(open_device(ACCELERATORS["cpu"], threads=1))
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(_block(torch) for _ in range(_LAYERS)))
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), 1e-4),
        config=_config(stage, precision),
        dist_init_required=False,
    )
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    batch = torch.randn(_SAMPLES, _WIDTH, dtype=kind)
    tracker = PeakTracker()
    for number in range(2):
        with tracker if number else torch.enable_grad():
            if number:
                gc.collect()
                tracker.adopt(one for one in gc.get_objects() if isinstance(one, torch.Tensor))
            engine.backward(engine(batch).float().pow(2).mean())
            engine.step()
    if rank == 0:
        sys.stdout.write(json.dumps({"measured_bytes": tracker.peak_bytes}) + "\n")
        sys.stdout.flush()
    dist.destroy_process_group()


def _block(torch: Any) -> Any:
    class Block(torch.nn.Module):  # type: ignore[misc]  # torch is imported in the ranks only
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm(_WIDTH)
            self.up = torch.nn.Linear(_WIDTH, 4 * _WIDTH)
            self.down = torch.nn.Linear(4 * _WIDTH, _WIDTH)

        def forward(self, x: Any) -> Any:
            return x + self.down(torch.nn.functional.gelu(self.up(self.norm(x))))

    return Block()


def _config(stage: int, precision: str) -> dict[str, Any]:
    zero = {
        "stage": stage, "reduce_bucket_size": _BUCKET, "allgather_bucket_size": _BUCKET, "overlap_comm": False,
        "stage3_prefetch_bucket_size": _BUCKET, "stage3_max_live_parameters": _BUCKET,
        "stage3_param_persistence_threshold": 0,
    }  # fmt: skip
    return {
        "train_micro_batch_size_per_gpu": 1,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": zero,
        **({"bf16": {"enabled": True}} if precision == "bf16" else {}),
    }


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.stdout.write(json.dumps(measured(int(sys.argv[1]), sys.argv[2])) + "\n")
    else:
        _step_of_a_rank(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
