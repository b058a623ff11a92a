"""Training samples of the catalogue as a pure function of (seed, step)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from recipes.augmentation import Affine, draw_affine, warp
from recipes.config import CatalogueDataConfig
from recipes.errors import NothingToTrainError
from recipes.protocol import Batch
from recipes.records import Records
from recipes.sample_order import shuffled_draws
from recipes.text_features import Featurize

VARIANT_SHARE = 0.2
"""How often a concept that has skin tones is shown in one of them."""
MAX_KEYWORDS = 3
_IMAGE_UNIFORMS = 7
_TEXT_UNIFORMS = 3 + MAX_KEYWORDS


class _Text(NamedTuple):
    """One text: the name or not, and which keywords."""

    locale: int
    with_name: bool
    keywords: tuple[int, ...]


class _Draw(NamedTuple):
    """Everything that chance decides about one sample."""

    entity: int
    row: int
    texts: tuple[_Text, ...]
    affine: Affine


class CatalogueData:
    """The training split: pictures with texts. One epoch shows each base concept that is not held out once.

    Every choice (skin tone, vendor, locales, texts, augmentation) is drawn from a generator keyed by seed and
    position in the stream, so batches do not depend on ranks or on what was asked before. Implements TrainData.
    """

    def __init__(
        self,
        records: Records,
        config: CatalogueDataConfig,
        *,
        seed: int,
        global_batch: int,
        featurize: Featurize,
    ) -> None:
        """Raises NothingToTrainError when no concept outside the held-out ones has a picture and a name to train on."""
        self._records = records
        self._config = config
        self._first_key = (seed << 40) % 2**62
        self._global_batch = global_batch
        self._featurize = featurize
        self._vendors = [records.vendors.index(name) for name in config.vendors]
        self._locales = [records.locales.index(name) for name in config.locales]
        self._has_name = records.texts.has_name()[:, self._locales]
        self._concepts = self._training_concepts()
        if not self._concepts:
            raise NothingToTrainError(
                f"no concept has a picture by {', '.join(config.vendors)} and a name in {', '.join(config.locales)}"
            )
        self._draws = shuffled_draws(len(self._concepts), self._draw, seed=seed)
        self.fingerprint = records.fingerprint
        self.num_samples = len(self._concepts)

    def batch(self, step: int, start: int, stop: int) -> Batch:
        """Return samples `start` to `stop` of the global batch of `step`: n = stop - start of them.

        `images` float32 [n, 3, 32, 32] from 0 to 1 after augmentation; `entity` and `group` int64 [n] (samples of one
        leak group show one concept); `sample_key` int64 [n], another for each seed and position, to key dropout by; and
        what `featurize` makes of the texts, `texts_per_image` for each sample in turn. A text is a name, keywords, or
        both, one a line.
        """
        draws = self._slice(step, start, stop)
        entities = np.array([draw.entity for draw in draws], np.int64)
        texts = [self._text(draw.entity, text) for draw in draws for text in draw.texts]
        return {
            "images": self._images(draws),
            "group": torch.from_numpy(self._records.group_numbers[entities]),
            "entity": torch.from_numpy(entities),
            "sample_key": torch.arange(start, stop) + (self._first_key + step * self._global_batch),
            **self._featurize(texts),
        }

    def sample_ids(self, step: int, start: int, stop: int) -> list[int]:
        """Return the number of the catalogue's row that each of the same samples shows."""
        return [draw.row for draw in self._slice(step, start, stop)]

    def _slice(self, step: int, start: int, stop: int) -> list[_Draw]:
        if not 0 <= start <= stop <= self._global_batch:
            raise ValueError(f"samples {start} to {stop} of a global batch of {self._global_batch}")
        first = step * self._global_batch
        return [self._draws[position] for position in range(first + start, first + stop)]

    def _training_concepts(self) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """Return, per base concept that is not held out, its base entity (-1: unusable) and its usable skin tones."""
        records = self._records
        usable = (records.rows[:, self._vendors] >= 0).any(axis=1) & self._has_name.any(axis=1) & ~records.held_out
        candidates = np.flatnonzero(usable)
        bases = records.base_indices[candidates]
        candidates = candidates[np.argsort(bases, kind="stable")]
        unique, counts = np.unique(bases, return_counts=True)
        ends = np.cumsum(counts)
        concepts = []
        for base, begin, end in zip(unique.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True):
            members = candidates[begin:end]
            concepts.append((base if usable[base] else -1, members[members != base]))
        return concepts

    def _draw(self, concept: int, generator: np.random.Generator) -> _Draw:
        """Draw one sample; its texts are in different locales as far as there are enough.

        All of its uniform numbers come at once, so that no choice shifts the ones after it.
        """
        uniforms = generator.random(_IMAGE_UNIFORMS + _TEXT_UNIFORMS * self._config.texts_per_image).tolist()
        kind, which, vendor, *affine = uniforms[:_IMAGE_UNIFORMS]
        base, variants = self._concepts[concept]
        entity = base
        if len(variants) and (base < 0 or kind < VARIANT_SHARE):
            entity = int(variants[int(which * len(variants))])
        rows = [row for row in self._records.rows[entity, self._vendors].tolist() if row >= 0]
        locales = [
            number for number, named in zip(self._locales, self._has_name[entity].tolist(), strict=True) if named
        ]
        of_text = [uniforms[i : i + _TEXT_UNIFORMS] for i in range(_IMAGE_UNIFORMS, len(uniforms), _TEXT_UNIFORMS)]
        spoken = _distinct(len(locales), [where for where, *_ in of_text[: len(locales)]])
        texts = tuple(
            self._draw_text(entity, locales[spoken[number % len(spoken)]], chances)
            for number, (_, *chances) in enumerate(of_text)
        )
        return _Draw(entity, rows[int(vendor * len(rows))], texts, draw_affine(*affine))

    def _draw_text(self, entity: int, locale: int, chances: list[float]) -> _Text:
        """Choose a text. `mixed`: half of them the name, a quarter one to three keywords, a quarter both."""
        kind, how_many, *picks = chances
        available = self._records.texts.num_keywords(entity, locale) if self._config.text == "mixed" else 0
        if kind < 0.5 or not available:
            return _Text(locale, with_name=True, keywords=())
        count = min(available, 1 + int(how_many * MAX_KEYWORDS))
        return _Text(locale, with_name=kind >= 0.75, keywords=_distinct(available, picks[:count]))

    def _text(self, entity: int, text: _Text) -> str:
        texts = self._records.texts
        words = [texts.name(entity, text.locale)] if text.with_name else []
        words += [texts.keyword(entity, text.locale, number) for number in text.keywords]
        return "\n".join(words)

    def _images(self, draws: Sequence[_Draw]) -> torch.Tensor:
        pixels = self._records.images[[draw.row for draw in draws]]
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()
        if self._config.augment == "none" or not draws:
            return images
        return warp(images, torch.tensor([draw.affine for draw in draws], dtype=torch.float32))


def _distinct(size: int, uniforms: Sequence[float]) -> tuple[int, ...]:
    """Return one number below `size` for each uniform, without repetition (Fisher and Yates, kept sparse)."""
    moved: dict[int, int] = {}
    picked = []
    for done, uniform in enumerate(uniforms):
        position = done + int(uniform * (size - done))
        picked.append(moved.get(position, position))
        moved[position] = moved.get(done, done)
    return tuple(picked)
