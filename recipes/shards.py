"""Writing a catalogue: entities into Parquet shards and an index, on any fsspec URL."""

import hashlib
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from recipes.catalogue_schema import (
    ENTITY_FIELDS,
    INDEX_FILE,
    ROW_GROUP_ROWS,
    SCHEMA,
    CatalogueEntity,
    CatalogueIndex,
    ShardInfo,
    Source,
    parse_index,
)
from recipes.errors import CatalogueError
from recipes.leak_groups import NUM_FOLDS, is_held_out
from recipes.remote_files import RemoteFolder
from recipes.rendering import SIZE_PX

SHARD_ENTITIES = 512


def write_catalogue(
    folder: RemoteFolder,
    entities: Iterable[CatalogueEntity],
    sources: Sequence[Source],
    *,
    compression_level: int = 9,
    progress: Callable[[int], None] = lambda entities_done: None,
) -> CatalogueIndex:
    """Write `entities`, in their order, as a catalogue and return its index. Blocking; one writer at a time.

    Shards have their hash in their name, so a catalogue that is replaced stays whole until the new index is in
    place; then the shards of the old one are deleted. Raises UnreachableError.
    """
    before = _shards_of_old_index(folder)
    tally = _Tally()
    shards: list[ShardInfo] = []
    for number, chunk in enumerate(_chunks(entities, SHARD_ENTITIES)):
        data = _parquet(chunk, compression_level)
        digest = xxhash.xxh3_128_hexdigest(data)
        rows = sum(len(entity.pictures) for entity in chunk)
        shards.append(ShardInfo(f"shard-{number:05d}-{digest[:8]}.parquet", rows, len(data), digest))
        folder.write(shards[-1].file, data)
        for entity in chunk:
            tally.add(entity)
        progress(tally.entities)
    index = tally.index(shards, sources)
    folder.write(INDEX_FILE, index.to_json())
    for name in before - {shard.file for shard in shards}:
        folder.delete(name)
    return index


def _shards_of_old_index(folder: RemoteFolder) -> set[str]:
    try:
        return {shard.file for shard in parse_index(folder.read(INDEX_FILE), folder.url).shards}
    except (FileNotFoundError, CatalogueError):
        return set()


def _chunks(entities: Iterable[CatalogueEntity], size: int) -> Iterator[list[CatalogueEntity]]:
    iterator = iter(entities)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _parquet(entities: Sequence[CatalogueEntity], compression_level: int) -> bytes:
    """Return the shard's bytes. Arrow converts the texts once per entity; vendor rows take them by index."""
    owners = [number for number, entity in enumerate(entities) for _ in entity.pictures]
    columns: dict[str, pa.Array] = {}
    for name in ENTITY_FIELDS:
        attribute = "code" if name == "entity" else name
        values = pa.array([getattr(entity, attribute) for entity in entities], SCHEMA.field(name).type)
        columns[name] = values.take(pa.array(owners))
    for name in ("names", "keywords"):
        texts = pa.array([list(getattr(entity, name).items()) for entity in entities], SCHEMA.field(name).type)
        columns[name] = texts.take(pa.array(owners))
    columns["vendor"] = pa.array([vendor for entity in entities for vendor in entity.pictures], pa.string())
    columns["image"] = pa.array([image for entity in entities for image in entity.pictures.values()], pa.binary())
    table = pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(
        table, buffer, compression="zstd", compression_level=compression_level, row_group_size=ROW_GROUP_ROWS
    )
    return buffer.getvalue()


class _Tally:
    """Counts what is written, and hashes the content apart from how Parquet encodes it."""

    def __init__(self) -> None:
        self.entities = 0
        self._digest = hashlib.sha256()
        self._vendors: Counter[str] = Counter()
        self._locales: Counter[str] = Counter()
        self._categories: Counter[str] = Counter()
        self._groups: set[str] = set()
        self._held_out = [0] * NUM_FOLDS
        self._flags = 0

    def add(self, entity: CatalogueEntity) -> None:
        self.entities += 1
        self._hash(entity)
        self._vendors.update(entity.pictures.keys())
        self._locales.update(entity.names.keys())
        self._groups.add(entity.group)
        if entity.code != entity.base:
            return
        self._categories[entity.category] += 1
        self._flags += entity.is_flag
        for seed in range(NUM_FOLDS):
            self._held_out[seed] += is_held_out(entity.group, seed) and not entity.is_flag

    def _hash(self, entity: CatalogueEntity) -> None:
        facts: dict[str, Any] = {name: getattr(entity, name) for name in ENTITY_FIELDS if name != "entity"}
        facts |= {"entity": entity.code, "names": dict(entity.names), "keywords": dict(entity.keywords)}
        text = json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()
        for part in (
            text,
            *itertools.chain.from_iterable((v.encode(), p) for v, p in entity.pictures.items()),
        ):
            self._digest.update(len(part).to_bytes(8, "little"))
            self._digest.update(part)

    def index(self, shards: Sequence[ShardInfo], sources: Sequence[Source]) -> CatalogueIndex:
        return CatalogueIndex(
            fingerprint=self._digest.hexdigest()[:32],
            rows=self._vendors.total(),
            entities=self.entities,
            base_entities=self._categories.total(),
            flags=self._flags,
            leak_groups=len(self._groups),
            image_size_px=SIZE_PX,
            vendors=dict(self._vendors),
            locales=_by_name(self._locales),
            categories=_by_name(self._categories),
            held_out_by_seed=tuple(self._held_out),
            shards=tuple(shards),
            sources=tuple(sources),
        )


def _by_name(counts: Counter[str]) -> Mapping[str, int]:
    return dict(sorted(counts.items()))
