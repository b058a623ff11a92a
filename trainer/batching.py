"""Batch arithmetic: global batch = micro-batch × accumulation × ranks. Pure."""

from dataclasses import dataclass

from trainer.errors import BatchError


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How a global batch is cut. All counts are samples, except `accumulation` (micro-batches) and `ranks`."""

    global_batch: int
    micro_batch: int
    accumulation: int
    ranks: int

    def micro_slices(self, rank: int) -> list[tuple[int, int]]:
        """Return the `[start, stop)` of each micro-batch of `rank` within the global batch, in order.

        Ranks own contiguous parts, so that the same samples make up a step whatever the number of ranks.
        """
        first = rank * self.micro_batch * self.accumulation
        return [
            (first + index * self.micro_batch, first + (index + 1) * self.micro_batch)
            for index in range(self.accumulation)
        ]


def plan_batch(global_batch: int, micro_batch: int | None, ranks: int) -> BatchPlan:
    """Cut `global_batch` for `ranks`; `micro_batch` None means no accumulation. Raises BatchError."""
    if global_batch % ranks:
        below, above = global_batch // ranks * ranks, (global_batch // ranks + 1) * ranks
        near = f"nearest that do are {below} and {above}" if below else f"the smallest that does is {above}"
        raise BatchError(f"run.global_batch = {global_batch}: does not divide by cluster.workers = {ranks}; {near}")
    per_rank = global_batch // ranks
    micro = per_rank if micro_batch is None else min(micro_batch, per_rank)
    if per_rank % micro:
        divisors = [size for size in range(1, per_rank + 1) if per_rank % size == 0]
        raise BatchError(
            f"run.micro_batch = {micro_batch}: does not divide the {per_rank} samples of a rank "
            f"(run.global_batch = {global_batch} / cluster.workers = {ranks}); allowed are {divisors}"
        )
    return BatchPlan(global_batch, micro, per_rank // micro, ranks)
