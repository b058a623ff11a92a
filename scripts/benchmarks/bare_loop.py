"""The peer of `overhead`: the same training as plain code under torchrun, with no supervisor, snapshot or event.

    torchrun --nproc-per-node 2 -m scripts.benchmarks.bare_loop LOG_FILE [OVERRIDES...]

Rank 0 appends the wall-clock second at which each step ended and its loss to LOG_FILE, as JSON lines.
"""

import json
import os
import sys
import time
from pathlib import Path

import deepspeed
import torch

from configs.compose import compose
from recipes.build import build_recipe
from trainer.batching import plan_batch
from trainer.engine_deepspeed import deepspeed_json, parameter_groups
from trainer.schedule import learning_rate


def main(log_path: Path, overrides: list[str]) -> None:
    """Train for ever; whoever started it ends it."""
    spec = compose(overrides).spec
    torch.set_num_threads(1)
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined] # as in our engine
    deepspeed.init_distributed(dist_backend="gloo", verbose=False)
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    batch_plan = plan_batch(spec.run.global_batch, spec.run.micro_batch, world_size)
    recipe = build_recipe(spec.recipe, spec.model, spec.data)
    torch.manual_seed(spec.run.seed)
    model = recipe.model()
    data = recipe.data(seed=spec.run.seed, global_batch=spec.run.global_batch)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, spec.optim), lr=spec.optim.lr, betas=spec.optim.betas, eps=spec.optim.eps
    )
    settings = deepspeed_json(spec.optim, spec.engine, batch_plan)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings, dist_init_required=False)
    slices = batch_plan.micro_slices(rank)
    with log_path.open("a") as log:
        step = 0
        while True:
            batches = [data.batch(step, start, stop) for start, stop in slices]
            for group in engine.optimizer.param_groups:
                group["lr"] = learning_rate(spec.optim, step, spec.run.steps)
            value = 0.0
            for loss in recipe.losses(engine, batches):
                engine.backward(loss.backward)
                engine.step()
                value = loss.value.item()
            step += 1
            if rank == 0:
                log.write(json.dumps({"event": "step", "step": step, "time_s": time.time(), "loss": value}) + "\n")
                log.flush()


if __name__ == "__main__":
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    main(Path(sys.argv[1]), sys.argv[2:])
