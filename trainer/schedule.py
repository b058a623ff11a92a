"""Learning rates as pure functions of the step, so that resuming needs no schedule state."""

import math

from trainer.config import OptimConfig


def learning_rate(config: OptimConfig, step: int, run_steps: int) -> float:
    """Return the learning rate of optimizer step `step` (from 0).

    Linear warm-up over `warmup_steps`, then the configured decay from `lr` to `lr * final_lr_fraction` over the rest
    of `decay_steps` (`run_steps` when that is None); cosine as in Loshchilov and Hutter, SGDR (2017), eq. 5.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    decay_steps = (config.decay_steps or run_steps) - config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, decay_steps))
    fraction = 0.5 * (1.0 + math.cos(math.pi * progress)) if config.schedule == "cosine" else 1.0 - progress
    return config.lr * (config.final_lr_fraction + (1.0 - config.final_lr_fraction) * fraction)
