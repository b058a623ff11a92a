"""What a catalogue holds, read from its index alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipes.catalogue_schema import CatalogueIndex, Source
from recipes.catalogue_source import CatalogueSource
from recipes.records import SAMPLE_URL

MANY_NAMES = 3000


@dataclass(frozen=True, kw_only=True)
class CatalogueDescription:
    """Counts by vendor are pictures, by locale names, by category base entities.

    `held_out_by_seed[s]` is the number of base entities, flags left out, that `data.split_seed=s` holds out;
    `locales_with_many_names` counts locales with at least MANY_NAMES names.
    """

    url: str
    fingerprint: str
    rows: int
    entities: int
    base_entities: int
    flags: int
    leak_groups: int
    image_size_px: int
    size_bytes: int
    shards: int
    vendors: Mapping[str, int]
    locales: Mapping[str, int]
    locales_with_many_names: int
    categories: Mapping[str, int]
    held_out_by_seed: tuple[int, ...]
    sources: tuple[Source, ...]


def describe_catalogue(
    url: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> CatalogueDescription:
    """Return what the catalogue at `url` (None: the repository's sample) holds. Blocking; reads one small file.

    Raises UnreachableError, NoCatalogueError, IndexVersionError.
    """
    source = CatalogueSource(url or SAMPLE_URL, storage_options)
    return describe(source.url, source.index)


def describe(url: str, index: CatalogueIndex) -> CatalogueDescription:
    """Return what the catalogue with this index, at `url`, holds."""
    return CatalogueDescription(
        url=url,
        fingerprint=index.fingerprint,
        rows=index.rows,
        entities=index.entities,
        base_entities=index.base_entities,
        flags=index.flags,
        leak_groups=index.leak_groups,
        image_size_px=index.image_size_px,
        size_bytes=sum(shard.size_bytes for shard in index.shards),
        shards=len(index.shards),
        vendors=index.vendors,
        locales=index.locales,
        locales_with_many_names=sum(names >= MANY_NAMES for names in index.locales.values()),
        categories=index.categories,
        held_out_by_seed=index.held_out_by_seed,
        sources=index.sources,
    )
