"""The format of a catalogue: columns of its Parquet shards, and the index that makes them one data set.

A catalogue is a folder with `index.json` and the shards that it names. A shard has one row per (entity, vendor);
the rows of an entity follow one another. It exists when its index exists: that is written last.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from recipes.errors import IndexVersionError, NoCatalogueError

FORMAT = "ostinato-catalogue"
VERSION = 1
INDEX_FILE = "index.json"
ROW_GROUP_ROWS = 256

ENTITY_FIELDS = (
    "entity",
    "base",
    "group",
    "char",
    "category",
    "subcategory",
    "skin_tone",
    "gender",
    "is_flag",
    "added_in",
    "split_bucket",
)
"""Columns of what does not differ between the rows of an entity, texts excepted."""

SCHEMA = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        pa.field("base", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("char", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("subcategory", pa.string(), nullable=False),
        pa.field("skin_tone", pa.string(), nullable=False),
        pa.field("gender", pa.string(), nullable=False),
        pa.field("is_flag", pa.bool_(), nullable=False),
        pa.field("added_in", pa.string(), nullable=False),
        pa.field("split_bucket", pa.uint8(), nullable=False),
        pa.field("vendor", pa.string(), nullable=False),
        pa.field("names", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("keywords", pa.map_(pa.string(), pa.list_(pa.string())), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class CatalogueEntity:
    """One entity on its way into a catalogue. Texts are by locale, pictures (raw RGB bytes) by vendor."""

    code: str
    base: str
    group: str
    char: str
    category: str
    subcategory: str
    skin_tone: str
    gender: str
    is_flag: bool
    added_in: str
    split_bucket: int
    names: Mapping[str, str]
    keywords: Mapping[str, tuple[str, ...]]
    pictures: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """One shard as the index names it; readers check size and hash."""

    file: str
    rows: int
    size_bytes: int
    xxh3_128: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where some of the content comes from, and its licence."""

    package: str
    version: str
    provides: str
    licence: str
    home: str


@dataclass(frozen=True, kw_only=True)
class CatalogueIndex:
    """What a catalogue holds. Counts by vendor are rows, by locale entities with a name, by category base entities.

    `held_out_by_seed` has, for the split seeds 0 to 9, the number of base entities (flags left out) held out.
    """

    fingerprint: str
    rows: int
    entities: int
    base_entities: int
    flags: int
    leak_groups: int
    image_size_px: int
    vendors: Mapping[str, int]
    locales: Mapping[str, int]
    categories: Mapping[str, int]
    held_out_by_seed: tuple[int, ...]
    shards: tuple[ShardInfo, ...]
    sources: tuple[Source, ...]

    def to_json(self) -> bytes:
        """Return the index file's content."""
        document = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def parse_index(data: bytes, url: str) -> CatalogueIndex:
    """Parse an index file. Raises NoCatalogueError when it is none, IndexVersionError for another version."""
    try:
        document: dict[str, Any] = json.loads(data)
        kind, version = document.pop("format"), document.pop("version")
    except (ValueError, KeyError, AttributeError) as error:
        raise NoCatalogueError(f"{url}/{INDEX_FILE}: not the index of a catalogue ({error!r})") from None
    if (kind, version) != (FORMAT, VERSION):
        raise IndexVersionError(
            f"{url}/{INDEX_FILE}: format {kind!r} version {version!r}; we read {FORMAT!r} version {VERSION}. "
            f"Build the catalogue again: ostinato data build catalogue --out {url}"
        )
    try:
        document["held_out_by_seed"] = tuple(document["held_out_by_seed"])
        document["shards"] = tuple(ShardInfo(**shard) for shard in document["shards"])
        document["sources"] = tuple(Source(**source) for source in document["sources"])
        return CatalogueIndex(**document)
    except (TypeError, KeyError) as error:
        raise NoCatalogueError(f"{url}/{INDEX_FILE}: incomplete index ({error!r})") from None
