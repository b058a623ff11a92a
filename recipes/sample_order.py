"""Which item each position of an endless training stream is, and the random numbers of that position.

The stream is a `grain.MapDataset`: position p is a pure function of (seed, p), so the global batch of step s is the
positions [s · B, (s + 1) · B), whoever asks and however it is sliced. The only file that knows grain.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

T = TypeVar("T")


def shuffled_draws(num_items: int, draw: Callable[[int, np.random.Generator], T], *, seed: int) -> Sequence[T]:
    """Return an endless sequence: at each position `draw(item, generator)`, each epoch a permutation of the items.

    Seeds are explicit at every random transform: without them grain derives a transform's seed from its place
    in the pipeline, and inserting a step before it would change every sample.
    """
    shuffle_seed, draw_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    pipeline = _grain().MapDataset.range(num_items).shuffle(seed=shuffle_seed).repeat().random_map(draw, seed=draw_seed)
    return cast("Sequence[T]", pipeline)


def _grain() -> Any:
    """Import grain when data is opened (0.4 s), without its warning that jax is not installed."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        import grain  # noqa: PLC0415 - see above
    finally:
        absl.setLevel(level)
    return grain
