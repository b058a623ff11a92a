"""How well a model finds names by picture and pictures by name, on what it was not trained on.

Metrics are named `set/locale/direction_rK`, with `mean` for the mean over locales; beside them stand
`chance/set/rK` and `n/set`, the number of entities searched among (the mean over vendors, which lack some).

Only base forms are searched: the skin tones of one gesture share their name but for two words. The sets:

- `heldout`: entities never trained on, without flags, drawn by the vendors trained on. The headline.
- `heldout_new_vendor`: the same entities, drawn by vendors held out from training.
- `heldout_flags`: held-out flags; nothing in a flag tells its country's name, so this stays near chance.
- `seen_new_vendor`: the training entities, drawn by vendors held out from training.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from recipes.collectives import gather, num_ranks, own_rank
from recipes.config import CatalogueDataConfig
from recipes.protocol import Forward
from recipes.records import Entity, Records
from recipes.retrieval import both_directions, chance
from recipes.text_features import Featurize

_CHUNK = 256  # images or texts in one forward pass


class CatalogueRetrieval:
    """Measures retrieval on one catalogue, with its embedding work spread evenly over the ranks."""

    def __init__(self, records: Records, config: CatalogueDataConfig, featurize: Featurize) -> None:
        self._records = records
        self._featurize = featurize
        self._locales = config.locales
        trained = [vendor for vendor in records.vendors if vendor in config.vendors]
        new = [vendor for vendor in records.vendors if vendor not in config.vendors]
        concepts = [entity for entity in records.entities if entity.code == entity.base]
        seen = [entity for entity in concepts if not entity.held_out]
        heldout = [entity for entity in concepts if entity.held_out and not entity.is_flag]
        flags = [entity for entity in concepts if entity.held_out and entity.is_flag]
        self._sets: dict[str, tuple[list[Entity], list[str]]] = {
            "heldout": (heldout, trained),
            "heldout_new_vendor": (heldout, new),
            "heldout_flags": (flags, trained),
            "seen_new_vendor": (seen, new),
        }

    def measure(self, forward: Forward, *, full: bool) -> dict[str, float]:
        """Return the metrics of all sets that are not empty; the same on every rank.

        Called by every rank; each makes the same number of forward passes, as ZeRO-3 needs.

        Args:
            forward: embeds a batch with only images or only text features; in evaluation mode, without gradients.
            full: in every locale trained on; otherwise in the first only.
        """
        locales = self._locales if full else self._locales[:1]
        metrics: dict[str, float] = {}
        for name, (entities, vendors) in self._sets.items():
            found: dict[str, list[dict[str, float]]] = {locale: [] for locale in locales}
            for vendor in vendors:
                drawn = [entity for entity in entities if vendor in entity.rows]
                for locale, scores in self._by_locale(forward, drawn, vendor, locales):
                    found[locale].append(scores)
            metrics |= _named(name, {locale: _mean(scores) for locale, scores in found.items() if scores})
        return metrics

    def _by_locale(
        self, forward: Forward, entities: Sequence[Entity], vendor: str, locales: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, float]]]:
        if not entities:
            return
        images = self._embed_images(forward, [entity.rows[vendor] for entity in entities])
        for locale in locales:
            named = [index for index, entity in enumerate(entities) if locale in entity.names]
            if named:
                texts = self._embed_texts(forward, [entities[index].names[locale] for index in named])
                yield locale, both_directions(images[named], texts) | _size(len(named))

    def _embed_images(self, forward: Forward, rows: Sequence[int]) -> torch.Tensor:
        def embed(part: Sequence[int]) -> torch.Tensor:
            pixels = np.ascontiguousarray(self._records.images[[rows[index] for index in part]].transpose(0, 3, 1, 2))
            image: torch.Tensor = forward({"images": torch.from_numpy(pixels).float() / 255}).image
            return image

        return _spread(len(rows), embed)

    def _embed_texts(self, forward: Forward, texts: Sequence[str]) -> torch.Tensor:
        def embed(part: Sequence[int]) -> torch.Tensor:
            text: torch.Tensor = forward(self._featurize([texts[index] for index in part])).text
            return text

        return _spread(len(texts), embed)


def _spread(count: int, embed: Callable[[Sequence[int]], torch.Tensor]) -> torch.Tensor:
    """Return `embed` of 0 to count - 1, each rank having made an equal share in an equal number of calls."""
    share = -(-count // num_ranks())
    first = own_rank() * share
    indices = [min(index, count - 1) for index in range(first, first + share)]
    parts = [embed(indices[start : start + _CHUNK]) for start in range(0, share, _CHUNK)]
    return gather(torch.cat(parts))[:count]


def _size(num_candidates: int) -> dict[str, float]:
    return {"n": float(num_candidates), **{f"chance_{key}": value for key, value in chance(num_candidates).items()}}


def _mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: sum(each[key] for each in scores) / len(scores) for key in scores[0]}


def _named(name: str, by_locale: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return `set/locale/metric` for each locale and for their mean, `chance/set/rK` and `n/set`."""
    if not by_locale:
        return {}
    mean = _mean(list(by_locale.values()))
    metrics: dict[str, float] = {}
    for locale, scores in {**by_locale, "mean": mean}.items():
        metrics |= {f"{name}/{locale}/{key}": scores[key] for key in scores if "_to_" in key}
    metrics |= {f"chance/{name}/{key.removeprefix('chance_')}": mean[key] for key in mean if key.startswith("chance_")}
    metrics[f"n/{name}"] = mean["n"]
    return metrics
