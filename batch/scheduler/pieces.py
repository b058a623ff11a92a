"""What is ranked, as pieces worth the same, share by share: of the shares in which nothing changed they are kept."""

from dataclasses import dataclass

import numpy as np

from batch.scheduler.arrays import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Premises:
    """What the pieces of a share follow from, beside its own rows.

    `common` concerns every share; `target` and `room` (the chips that its team's quota leaves) have a value for each.
    """

    common: tuple[float, ...]
    target: Floats
    room: Floats

    def changed(self, since: "Premises") -> Bools | None:
        """Say for which shares they are not what they were; None if for all, or there are more shares."""
        if self.common != since.common or len(self.target) != len(since.target):
            return None
        return np.asarray((self.target != since.target) | (self.room != since.room))


@dataclass(frozen=True, slots=True)
class Pieces:
    """Columns of pieces: share by share, and in each by tier, index and submission.

    `ints`, [6, pieces]: row, whether it runs, count, tier, place, whether it is priced. `floats`, [3, pieces]: chips,
    value, and the key by which all are ranked. Share s has pieces `first[s]` to `first[s] + size[s]`, which stay as
    they are until `until_s[s]` unless one of its rows or its premises change. `places`: the shares' order.
    """

    premises: Premises
    places: Ints
    ints: Ints
    floats: Floats
    first: Ints
    size: Ints
    until_s: Floats

    def with_fresh(self, fresh: "Pieces", changed: Bools) -> "Pieces":
        """Return the pieces of `fresh` for the shares that `changed`, and these for the others, in its order."""
        size = np.where(changed, fresh.size, self.size)
        in_order = fresh.places.argsort()
        some = in_order[size[in_order] > 0]
        new, size_of_some = changed[some], size[some]
        low = np.where(new, fresh.first[some], self.first[some])
        high = low + size_of_some
        # What lies side by side already is taken in one piece.
        begins = np.ones(len(some), dtype=np.bool_)
        begins[1:] = (new[1:] != new[:-1]) | (low[1:] != high[:-1])
        at = begins.nonzero()[0]
        ends = high[[*(at[1:] - 1).tolist(), -1]] if len(at) else at
        spans = list(zip(new[at].tolist(), low[at].tolist(), ends.tolist(), strict=True))
        first = np.zeros(len(size), dtype=np.int64)
        first[some] = size_of_some.cumsum() - size_of_some
        ints = [(fresh if anew else self).ints[:, start:end] for anew, start, end in spans]
        floats = [(fresh if anew else self).floats[:, start:end] for anew, start, end in spans]
        return Pieces(
            fresh.premises,
            fresh.places,
            np.concatenate(ints, axis=1) if ints else fresh.ints,
            np.concatenate(floats, axis=1) if floats else fresh.floats,
            first,
            size,
            np.where(changed, fresh.until_s, self.until_s),
        )
