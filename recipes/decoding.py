"""From Parquet shards to flat arrays: what the local cache of a catalogue holds.

Texts lie as one UTF-8 blob per kind. The *cell* of entity e and locale l is number e · L + l; the name of a cell is
the bytes [name_ends[cell], name_ends[cell + 1]), its keywords are the strings [keyword_cells[cell],
keyword_cells[cell + 1]), and string k is the bytes [keyword_ends[k], keyword_ends[k + 1]). An empty interval means
that there is nothing. No Python object is made per string, neither here nor when the cache is opened.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from recipes.catalogue_schema import ENTITY_FIELDS, SCHEMA, CatalogueIndex, ShardInfo
from recipes.errors import DamagedShardError
from recipes.rendering import IMAGE_BYTES

ENTITIES_FILE = "entities.arrow"
IMAGES_FILE = "images.u8"
NAMES_FILE = "names.utf8"
KEYWORDS_FILE = "keywords.utf8"
ROWS_FILE = "rows.npy"
NAME_ENDS_FILE = "name_ends.npy"
KEYWORD_CELLS_FILE = "keyword_cells.npy"
KEYWORD_ENDS_FILE = "keyword_ends.npy"

IntArray = npt.NDArray[np.int64]


class CatalogueDecoder:
    """Turns the shards of a catalogue, one after the other, into the files of a cache folder.

    Use it as a context manager: leaving it without an error completes the files. `where` names the catalogue in
    errors; vendors and locales get their numbers from the index.
    """

    def __init__(self, folder: Path, index: CatalogueIndex, where: str) -> None:
        self._folder = folder
        self._where = where
        self._vendors = pa.array(list(index.vendors), pa.string())
        self._locales = pa.array(list(index.locales), pa.string())
        self._num_rows = 0
        self._tables: list[pa.Table] = []
        self._rows: list[npt.NDArray[np.int32]] = []
        self._name_bytes: list[IntArray] = []
        self._keywords_per_cell: list[IntArray] = []
        self._keyword_bytes: list[IntArray] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        self._images, self._names, self._keywords = (
            self._files.enter_context((self._folder / name).open("wb"))
            for name in (IMAGES_FILE, NAMES_FILE, KEYWORDS_FILE)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._files.close()
        if kind is None:
            self._finish()

    def add(self, info: ShardInfo, data: bytes) -> None:
        """Decode one shard. Raises DamagedShardError."""
        shard = _Shard(f"{self._where}/{info.file}", data)
        if shard.table.num_rows != info.rows:
            raise DamagedShardError(f"{shard.where}: has {shard.table.num_rows} rows, the index says {info.rows}")
        self._images.write(shard.images())
        first = shard.first_rows()
        self._rows.append(shard.rows_by_vendor(first, self._vendors, self._num_rows))
        self._num_rows += shard.table.num_rows
        entities = shard.table.take(pa.array(first))
        self._tables.append(entities.select(list(ENTITY_FIELDS)))
        self._add_names(shard.where, entities)
        self._add_keywords(shard.where, entities)

    def _add_names(self, where: str, entities: pa.Table) -> None:
        cells, names = self._by_cell(where, entities["names"])
        self._name_bytes.append(self._spread(_lengths(names), cells, len(entities)))
        self._names.write(_blob(names))

    def _add_keywords(self, where: str, entities: pa.Table) -> None:
        cells, lists = self._by_cell(where, entities["keywords"])
        per_list = pc.list_value_length(lists).fill_null(0).to_numpy().astype(np.int64)
        self._keywords_per_cell.append(self._spread(per_list, cells, len(entities)))
        keywords = lists.flatten()
        self._keyword_bytes.append(_lengths(keywords))
        self._keywords.write(_blob(keywords))

    def _spread(self, values: IntArray, cells: IntArray, num_entities: int) -> IntArray:
        """Return the values at their cells, and 0 at all others."""
        spread = np.zeros(num_entities * len(self._locales), np.int64)
        spread[cells] = values
        return spread

    def _by_cell(self, where: str, column: pa.ChunkedArray) -> tuple[IntArray, pa.Array]:
        """Return which cells have a value in a column of maps by locale, sorted, and their values."""
        maps = column.combine_chunks()
        locale = pc.index_in(maps.keys, value_set=self._locales)
        if locale.null_count:
            unknown = maps.keys.filter(locale.is_null())[0].as_py()
            raise DamagedShardError(f"{where}: has texts in locale {unknown!r}, which the index does not name")
        entity = np.repeat(np.arange(len(maps)), np.diff(maps.offsets.to_numpy()))
        cells = entity * len(self._locales) + locale.to_numpy()
        order = np.argsort(cells, kind="stable")
        if np.any(np.diff(cells[order]) == 0):
            raise DamagedShardError(f"{where}: an entity has two texts of one kind in one locale")
        return cells[order], maps.items.take(pa.array(order))

    def _finish(self) -> None:
        table = pa.concat_tables(self._tables).combine_chunks()
        counts = pc.value_counts(table["entity"])
        repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        if len(repeated):
            raise DamagedShardError(f"{self._where}: the rows of entity {repeated[0]} do not follow one another")
        with ipc.new_file(str(self._folder / ENTITIES_FILE), table.schema) as file:
            file.write_table(table)
        np.save(self._folder / ROWS_FILE, np.concatenate(self._rows))
        np.save(self._folder / NAME_ENDS_FILE, _ends(self._name_bytes))
        np.save(self._folder / KEYWORD_CELLS_FILE, _ends(self._keywords_per_cell))
        np.save(self._folder / KEYWORD_ENDS_FILE, _ends(self._keyword_bytes))


class _Shard:
    """One parsed shard, and where it came from."""

    def __init__(self, where: str, data: bytes) -> None:
        self.where = where
        try:
            with pq.ParquetFile(pa.BufferReader(data)) as file:
                self._group_rows = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
                self.table = file.read(columns=SCHEMA.names).cast(SCHEMA)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DamagedShardError(f"{where}: not a shard of a catalogue ({_first_line(error)})") from None

    def images(self) -> memoryview:
        """Return the pixels of all rows. Raises DamagedShardError when a picture has a wrong size."""
        column = self.table["image"].combine_chunks()
        lengths = pc.binary_length(column).fill_null(0).to_numpy()
        bad = np.flatnonzero(lengths != IMAGE_BYTES)
        if len(bad):
            raise DamagedShardError(
                f"{self._place(int(bad[0]))}: picture of {lengths[bad[0]]} bytes, must be {IMAGE_BYTES} "
                f"({len(bad)} such rows in this shard); build the catalogue again"
            )
        start = column.offset * IMAGE_BYTES
        return memoryview(column.buffers()[2])[start : start + len(column) * IMAGE_BYTES]

    def first_rows(self) -> npt.NDArray[np.int64]:
        """Return the number of the first row of each entity."""
        codes = self.table["entity"].combine_chunks().dictionary_encode().indices.to_numpy()
        return np.flatnonzero(np.diff(codes, prepend=-1))

    def rows_by_vendor(self, first: npt.NDArray[np.int64], vendors: pa.Array, row_offset: int) -> npt.NDArray[np.int32]:
        """Return [entity, vendor] → row number in the whole catalogue, -1 where the vendor has no picture."""
        vendor = pc.index_in(self.table["vendor"].combine_chunks(), value_set=vendors)
        if vendor.null_count:
            row = int(np.flatnonzero(vendor.is_null().to_numpy(zero_copy_only=False))[0])
            raise DamagedShardError(f"{self._place(row)}: vendor {self.table['vendor'][row]} is not in the index")
        rows = np.full((len(first), len(vendors)), -1, np.int32)
        entity = np.repeat(np.arange(len(first)), np.diff(first, append=self.table.num_rows))
        rows[entity, vendor.to_numpy()] = np.arange(self.table.num_rows) + row_offset
        return rows

    def _place(self, row: int) -> str:
        group = 0
        while row >= self._group_rows[group]:
            row -= self._group_rows[group]
            group += 1
        return f"{self.where}, row group {group}, row {row}"


def _lengths(strings: Any) -> IntArray:
    lengths: IntArray = pc.binary_length(strings).fill_null(0).to_numpy().astype(np.int64)
    return lengths


def _blob(strings: Any) -> memoryview:
    """Return the bytes of all strings of an array without nulls or gaps, one after the other."""
    if not len(strings):
        return memoryview(b"")
    ends = np.frombuffer(strings.buffers()[1], np.int32)[strings.offset : strings.offset + len(strings) + 1]
    return memoryview(strings.buffers()[2] or b"")[int(ends[0]) : int(ends[-1])]


def _ends(lengths: Iterable[IntArray]) -> IntArray:
    """Return the running sum of the lengths, from 0."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([*lengths]))])


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
