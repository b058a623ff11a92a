"""The records of a catalogue, opened for random access: pictures, texts and entities as memory-mapped arrays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from recipes import decoding
from recipes.catalogue_schema import INDEX_FILE, CatalogueIndex, ShardInfo, parse_index
from recipes.config import CatalogueDataConfig
from recipes.decoding import CatalogueDecoder, IntArray
from recipes.errors import DamagedShardError, MissingShardError, NoCatalogueError, UnknownChoiceError
from recipes.leak_groups import is_held_out
from recipes.nearest import nearest_hint
from recipes.record_cache import RecordCache, default_cache_folder
from recipes.remote_files import RemoteFolder
from recipes.rendering import IMAGE_BYTES, SIZE_PX

SAMPLE_URL = str(Path(__file__).parent / "catalogue_sample")


@dataclass(frozen=True)
class Entity:
    """One entity: what it is, which rows picture it (by vendor), and what it is called (by locale)."""

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
    names: Mapping[str, str]
    keywords: Mapping[str, tuple[str, ...]]


class Records:
    """A catalogue, decoded once and memory-mapped: opening costs milliseconds, whatever its size.

    `images` is uint8 [row, 32, 32, 3]; `rows` int32 [entity, vendor] gives the row of a picture, -1 for none;
    `group_numbers` and `base_indices` int64 [entity] are the leak group and the entity without skin tone;
    `held_out` bool [entity] is the split. Vendors and locales are numbered as in `vendors` and `locales`.
    """

    def __init__(self, index: CatalogueIndex, folder: Path, split_seed: int) -> None:
        self.fingerprint = index.fingerprint
        self.index = index
        self.locales = tuple(index.locales)
        self.vendors = tuple(index.vendors)
        self.images = _map(folder / decoding.IMAGES_FILE).reshape(-1, SIZE_PX, SIZE_PX, 3)
        self.rows: npt.NDArray[np.int32] = np.load(folder / decoding.ROWS_FILE)
        self.texts = Texts(folder, len(self.locales))
        self._table = pa.ipc.open_file(pa.memory_map(str(folder / decoding.ENTITIES_FILE))).read_all()
        self._split_seed = split_seed

    @cached_property
    def entities(self) -> Sequence[Entity]:
        """All entities, each made when it is asked for."""
        columns = {name: column.to_pylist() for name, column in zip(self._table.column_names, self._table.columns)}
        return _Entities(self, columns)

    @cached_property
    def group_numbers(self) -> IntArray:
        """Leak group of each entity, numbered in order of appearance."""
        numbers: IntArray = self._groups.indices.to_numpy().astype(np.int64)
        return numbers

    @cached_property
    def held_out(self) -> npt.NDArray[np.bool_]:
        """Whether each entity is held out from training."""
        of_group = np.array([is_held_out(name, self._split_seed) for name in self._groups.dictionary.to_pylist()])
        held_out: npt.NDArray[np.bool_] = of_group[self.group_numbers]
        return held_out

    @cached_property
    def base_indices(self) -> IntArray:
        """Index of each entity's base; of the entity itself where the catalogue lacks the base."""
        found = pa.compute.index_in(self._table["base"], value_set=self._table["entity"].combine_chunks())
        own = np.arange(len(self._table))
        return np.where(found.is_null(), own, found.fill_null(0)).astype(np.int64)

    @cached_property
    def _groups(self) -> pa.DictionaryArray:
        return self._table["group"].combine_chunks().dictionary_encode()


class Texts:
    """Names and keywords by entity index and locale number, decoded when asked for. See recipes.decoding."""

    def __init__(self, folder: Path, num_locales: int) -> None:
        self._num_locales = num_locales
        self._names = memoryview(_map(folder / decoding.NAMES_FILE))
        self._keywords = memoryview(_map(folder / decoding.KEYWORDS_FILE))
        self._name_ends = _load(folder / decoding.NAME_ENDS_FILE)
        self._keyword_cells = _load(folder / decoding.KEYWORD_CELLS_FILE)
        self._keyword_ends = _load(folder / decoding.KEYWORD_ENDS_FILE)

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


class _Entities(Sequence[Entity]):
    def __init__(self, records: Records, columns: Mapping[str, list[str]]) -> None:
        self._records = records
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns["entity"])

    @overload
    def __getitem__(self, index: int) -> Entity: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entity]: ...
    def __getitem__(self, index: int | slice) -> Entity | Sequence[Entity]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        index = range(len(self))[index]
        records, columns = self._records, self._columns
        numbers = {locale: number for number, locale in enumerate(records.locales)}
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
            names=_Names(records.texts, index, numbers),
            keywords=_Keywords(records.texts, index, numbers),
        )


@dataclass(frozen=True)
class _Names(Mapping[str, str]):
    texts: Texts
    entity: int
    numbers: Mapping[str, int]

    def __getitem__(self, locale: str) -> str:
        name = self.texts.name(self.entity, self.numbers[locale])
        if not name:
            raise KeyError(locale)
        return name

    def __iter__(self) -> Iterator[str]:
        return (locale for locale, number in self.numbers.items() if self.texts.name(self.entity, number))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class _Keywords(Mapping[str, tuple[str, ...]]):
    texts: Texts
    entity: int
    numbers: Mapping[str, int]

    def __getitem__(self, locale: str) -> tuple[str, ...]:
        number = self.numbers[locale]
        count = self.texts.num_keywords(self.entity, number)
        if not count:
            raise KeyError(locale)
        return tuple(self.texts.keyword(self.entity, number, k) for k in range(count))

    def __iter__(self) -> Iterator[str]:
        return (locale for locale, number in self.numbers.items() if self.texts.num_keywords(self.entity, number))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def open_records(config: CatalogueDataConfig) -> Records:
    """Open the catalogue that `config` names, fetching and decoding it first where this node has not yet.

    Blocking; any number of processes of a node may call it at once, one of them does the work. Reads the index each
    time, so that a catalogue that was built anew is seen. Raises CatalogueError kinds and RecordCacheError.
    """
    folder = RemoteFolder(config.url or SAMPLE_URL, config.storage_options)
    index = read_index(folder)
    _check_choices(config, index, folder.url)
    cache = RecordCache(
        Path(config.cache_folder).expanduser() if config.cache_folder else default_cache_folder(),
        config.cache_max_bytes,
    )
    cache.require(index.rows * IMAGE_BYTES, folder.url)
    return cache.use(
        index.fingerprint,
        fill=lambda path: _decode(folder, index, path),
        opened=lambda path: Records(index, path, config.split_seed),
    )


def read_index(folder: RemoteFolder) -> CatalogueIndex:
    """Read a catalogue's index. Raises UnreachableError, NoCatalogueError, IndexVersionError."""
    try:
        data = folder.read(INDEX_FILE)
    except FileNotFoundError:
        raise NoCatalogueError(
            f"{folder.url}: no {INDEX_FILE} there, so no catalogue. Build one: "
            f"ostinato data build catalogue --out {folder.url}"
        ) from None
    return parse_index(data, folder.url)


def _decode(folder: RemoteFolder, index: CatalogueIndex, path: Path) -> None:
    with CatalogueDecoder(path, tuple(index.locales), tuple(index.vendors)) as decoder:
        for shard in index.shards:
            decoder.add(f"{folder.url}/{shard.file}", _read_shard(folder, shard))


def _read_shard(folder: RemoteFolder, shard: ShardInfo) -> bytes:
    try:
        data = folder.read(shard.file)
    except FileNotFoundError:
        raise MissingShardError(
            f"{folder.url}/{shard.file}: the index names this shard and it is not there; copy it, or build the "
            "catalogue again"
        ) from None
    digest = xxhash.xxh3_128_hexdigest(data)
    if (len(data), digest) != (shard.size_bytes, shard.xxh3_128):
        kind = "truncated" if len(data) < shard.size_bytes else "changed"
        raise DamagedShardError(
            f"{folder.url}/{shard.file}: {kind}: {len(data)} bytes with xxh3 {digest}, the index says "
            f"{shard.size_bytes} bytes with {shard.xxh3_128}; copy it again, or build the catalogue again"
        )
    return data


def _check_choices(config: CatalogueDataConfig, index: CatalogueIndex, url: str) -> None:
    for setting, chosen, known in (
        ("data.locales", config.locales, index.locales),
        ("data.vendors", config.vendors, index.vendors),
    ):
        for name in chosen:
            if name not in known:
                raise UnknownChoiceError(f"{setting}: {name!r} is not in {url}{nearest_hint(name, known)}")


def _map(path: Path) -> npt.NDArray[np.uint8]:
    """Memory-map the bytes of a file (an empty file cannot be mapped)."""
    if path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, mode="r"))


def _load(path: Path) -> IntArray:
    array: IntArray = np.asarray(np.load(path, mmap_mode="r"))
    return array
