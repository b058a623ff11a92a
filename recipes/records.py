"""The records of a catalogue, opened for random access: pictures, texts and entities as memory-mapped arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from recipes import decoding
from recipes.catalogue_schema import CatalogueIndex
from recipes.catalogue_source import CatalogueSource
from recipes.config import CatalogueConfig, CatalogueDataConfig, CatalogueTextConfig
from recipes.decoding import CatalogueDecoder, IntArray
from recipes.leak_groups import is_held_out
from recipes.record_cache import RecordCache, default_cache_folder
from recipes.record_texts import Keywords, Names, Texts, map_bytes
from recipes.rendering import IMAGE_BYTES, SIZE_PX

SAMPLE_URL = str(Path(__file__).parent / "catalogue_sample")


@dataclass(frozen=True)
class Entity:
    """One entity: what it is, which rows picture it (by vendor), and what it is called (by locale).

    `code` is its code points in hexadecimal; `base` the code without skin tone (its own, if it has none); `group` its
    leak group; `skin_tone` and `gender` are empty where they do not apply.
    """

    index: int
    code: str
    char: str
    base: str
    group: str
    category: str
    subcategory: str
    skin_tone: str
    gender: str
    is_flag: bool
    added_in: str
    held_out: bool
    rows: Mapping[str, int]
    names: Mapping[str, str] = field(repr=False)
    keywords: Mapping[str, tuple[str, ...]] = field(repr=False)


class Records:
    """A catalogue, decoded once and memory-mapped: opening costs milliseconds, whatever its size.

    `images` is uint8 [row, 32, 32, 3], read-only; `rows` int32 [entity, vendor] gives the row of a picture, -1 for
    none. Vendors and locales are numbered as in `vendors` and `locales`, which are all that the catalogue has.
    """

    def __init__(self, index: CatalogueIndex, folder: Path, split_seed: int) -> None:
        self.fingerprint = index.fingerprint
        self.locales = tuple(index.locales)
        self.vendors = tuple(index.vendors)
        self.images = map_bytes(folder / decoding.IMAGES_FILE).reshape(-1, SIZE_PX, SIZE_PX, 3)
        self.rows: npt.NDArray[np.int32] = np.load(folder / decoding.ROWS_FILE)
        self.texts = Texts(folder, len(self.locales))
        self._table = pa.ipc.open_file(pa.memory_map(str(folder / decoding.ENTITIES_FILE))).read_all()
        self._split_seed = split_seed

    @cached_property
    def entities(self) -> Sequence[Entity]:
        """All entities, each made when it is asked for."""
        return _Entities(self, self._table.to_pydict())

    @cached_property
    def group_numbers(self) -> IntArray:
        """The leak group of each entity as a number, int64 [entity]; groups are numbered in order of appearance."""
        numbers: IntArray = self._groups.indices.to_numpy().astype(np.int64)
        return numbers

    @cached_property
    def held_out(self) -> npt.NDArray[np.bool_]:
        """Whether each entity is held out from training, bool [entity]."""
        of_group = np.array([is_held_out(name, self._split_seed) for name in self._groups.dictionary.to_pylist()])
        held_out: npt.NDArray[np.bool_] = of_group[self.group_numbers]
        return held_out

    @cached_property
    def base_indices(self) -> IntArray:
        """The index of each entity's base, int64 [entity]; its own where the catalogue lacks the base."""
        found = pc.index_in(self._table["base"], value_set=self._table["entity"].combine_chunks())
        own = np.arange(len(self._table))
        return np.where(found.is_null(), own, found.fill_null(0)).astype(np.int64)

    @cached_property
    def _groups(self) -> pa.DictionaryArray:
        return self._table["group"].combine_chunks().dictionary_encode()


class _Entities(Sequence[Entity]):
    def __init__(self, records: Records, columns: Mapping[str, list[str]]) -> None:
        self._records = records
        self._columns = columns
        self._locale_numbers = {locale: number for number, locale in enumerate(records.locales)}

    @override
    def __len__(self) -> int:
        return len(self._columns["entity"])

    @overload
    def __getitem__(self, index: int) -> Entity: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entity]: ...
    @override
    def __getitem__(self, index: int | slice) -> Entity | Sequence[Entity]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        index = range(len(self))[index]
        records, columns = self._records, self._columns
        rows = zip(records.vendors, records.rows[index].tolist(), strict=True)
        return Entity(
            index=index,
            code=columns["entity"][index],
            char=columns["char"][index],
            base=columns["base"][index],
            group=columns["group"][index],
            category=columns["category"][index],
            subcategory=columns["subcategory"][index],
            skin_tone=columns["skin_tone"][index],
            gender=columns["gender"][index],
            is_flag=bool(columns["is_flag"][index]),
            added_in=columns["added_in"][index],
            held_out=bool(records.held_out[index]),
            rows={vendor: row for vendor, row in rows if row >= 0},
            names=Names(records.texts, index, self._locale_numbers),
            keywords=Keywords(records.texts, index, self._locale_numbers),
        )


def open_source(config: CatalogueDataConfig | CatalogueTextConfig) -> CatalogueSource:
    """Read the index of the catalogue that `config` names. Raises CatalogueError kinds, before anything is fetched."""
    source = CatalogueSource(config.url or SAMPLE_URL, config.storage_options)
    source.require("data.locales", config.locales or (), source.index.locales)
    if isinstance(config, CatalogueDataConfig):
        source.require("data.vendors", config.vendors, source.index.vendors)
    return source


def cache_of(config: CatalogueConfig) -> RecordCache:
    """Return the cache of decoded records that `config` names."""
    folder = Path(config.cache_folder).expanduser() if config.cache_folder else default_cache_folder()
    return RecordCache(folder, config.cache_max_bytes)


def open_records(config: CatalogueDataConfig | CatalogueTextConfig) -> Records:
    """Open the catalogue that `config` names, fetching and decoding it first where this node has not yet.

    Blocking; any number of processes of a node may call it at once, one of them does the work. Reads the index each
    time, so that a catalogue that was built anew is seen. Raises CatalogueError kinds and RecordCacheError.
    """
    source = open_source(config)
    cache = cache_of(config)
    cache.require(source.index.rows * IMAGE_BYTES, source.url)
    return cache.use(
        source.index.fingerprint,
        fill=lambda folder: _decode(source, folder),
        opened=lambda folder: Records(source.index, folder, config.split_seed),
    )


def _decode(source: CatalogueSource, folder: Path) -> None:
    with CatalogueDecoder(folder, source.index, source.url) as decoder:
        for shard in source.index.shards:
            decoder.add(shard, source.read_shard(shard))
