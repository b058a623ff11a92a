"""Names and keywords from the memory-mapped cache: a string is made when it is asked for. Layout: recipes.decoding."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from recipes import decoding
from recipes.decoding import IntArray


class Texts:
    """Names and keywords by entity index and locale number."""

    def __init__(self, folder: Path, num_locales: int) -> None:
        self._num_locales = num_locales
        self._names = map_bytes(folder / decoding.NAMES_FILE).data
        self._keywords = map_bytes(folder / decoding.KEYWORDS_FILE).data
        self._name_ends = _map_integers(folder / decoding.NAME_ENDS_FILE)
        self._keyword_cells = _map_integers(folder / decoding.KEYWORD_CELLS_FILE)
        self._keyword_ends = _map_integers(folder / decoding.KEYWORD_ENDS_FILE)

    def name(self, entity: int, locale: int) -> str:
        """Return the name, empty where there is none."""
        cell = entity * self._num_locales + locale
        return str(self._names[self._name_ends[cell] : self._name_ends[cell + 1]], "utf-8")

    def num_keywords(self, entity: int, locale: int) -> int:
        """Return how many keywords there are."""
        cell = entity * self._num_locales + locale
        return int(self._keyword_cells[cell + 1] - self._keyword_cells[cell])

    def keyword(self, entity: int, locale: int, number: int) -> str:
        """Return one of the keywords."""
        string = self._keyword_cells[entity * self._num_locales + locale] + number
        return str(self._keywords[self._keyword_ends[string] : self._keyword_ends[string + 1]], "utf-8")

    def has_name(self) -> npt.NDArray[np.bool_]:
        """Return bool [entity, locale]."""
        present: npt.NDArray[np.bool_] = np.diff(self._name_ends).reshape(-1, self._num_locales) > 0
        return present


@dataclass(frozen=True)
class Names(Mapping[str, str]):
    """The names of one entity by locale; `numbers` gives each locale's number."""

    texts: Texts
    entity: int
    numbers: Mapping[str, int]

    @override
    def __getitem__(self, locale: str) -> str:
        name = self.texts.name(self.entity, self.numbers[locale])
        if not name:
            raise KeyError(locale)
        return name

    @override
    def __iter__(self) -> Iterator[str]:
        return (locale for locale, number in self.numbers.items() if self.texts.name(self.entity, number))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class Keywords(Mapping[str, tuple[str, ...]]):
    """The keywords of one entity by locale, where there are any; `numbers` gives each locale's number."""

    texts: Texts
    entity: int
    numbers: Mapping[str, int]

    @override
    def __getitem__(self, locale: str) -> tuple[str, ...]:
        number = self.numbers[locale]
        count = self.texts.num_keywords(self.entity, number)
        if not count:
            raise KeyError(locale)
        return tuple(self.texts.keyword(self.entity, number, k) for k in range(count))

    @override
    def __iter__(self) -> Iterator[str]:
        return (locale for locale, number in self.numbers.items() if self.texts.num_keywords(self.entity, number))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


def map_bytes(path: Path) -> npt.NDArray[np.uint8]:
    """Memory-map the bytes of a file, which may be empty (such a file cannot be mapped)."""
    if path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, mode="r"))


def _map_integers(path: Path) -> IntArray:
    array: IntArray = np.asarray(np.load(path, mmap_mode="r"))
    return array
