"""Which checkpoints may go. Pure."""

from collections.abc import Collection

ALWAYS_KEPT = 2
"""So many are never deleted: the newest may be damaged, and a save may refer to the one before."""


def expendable_steps(
    steps: Collection[int],
    *,
    keep_last: int,
    keep_every_steps: int | None = None,
    pinned: Collection[int] = (),
) -> list[int]:
    """Return which of the committed `steps` may be deleted, oldest first.

    Kept are the newest `keep_last` (at least two, whatever is asked), the multiples of `keep_every_steps`,
    and `pinned`.
    """
    newest = set(sorted(steps)[-max(keep_last, ALWAYS_KEPT) :])
    kept = newest | set(pinned)
    if keep_every_steps:
        kept |= {step for step in steps if step % keep_every_steps == 0}
    return sorted(set(steps) - kept)
