"""A catalogue where it lies: its index, and its shards checked against the index."""

from collections.abc import Collection, Mapping
from typing import Any

import xxhash

from recipes.catalogue_schema import INDEX_FILE, CatalogueIndex, ShardInfo, parse_index
from recipes.errors import DamagedShardError, MissingShardError, NoCatalogueError, UnknownChoiceError
from recipes.nearest import nearest_hint
from recipes.remote_files import RemoteFolder


class CatalogueSource:
    """A catalogue at a folder or fsspec URL. Opening it reads the index; blocking.

    Raises UnreachableError, NoCatalogueError, IndexVersionError.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self._folder = RemoteFolder(url, storage_options)
        self.url = self._folder.url
        try:
            data = self._folder.read(INDEX_FILE)
        except FileNotFoundError:
            raise NoCatalogueError(
                f"{self.url}: no {INDEX_FILE} there, so no catalogue. Build one: "
                f"ostinato data build catalogue --out {self.url}"
            ) from None
        self.index: CatalogueIndex = parse_index(data, self.url)

    def read_shard(self, shard: ShardInfo) -> bytes:
        """Return a shard's bytes, which are those that the index describes.

        Raises MissingShardError, DamagedShardError, UnreachableError.
        """
        try:
            data = self._folder.read(shard.file)
        except FileNotFoundError:
            raise MissingShardError(
                f"{self.url}/{shard.file}: the index names this shard and it is not there; copy it, or build the "
                "catalogue again"
            ) from None
        digest = xxhash.xxh3_128_hexdigest(data)
        if (len(data), digest) != (shard.size_bytes, shard.xxh3_128):
            kind = "truncated" if len(data) < shard.size_bytes else "changed"
            raise DamagedShardError(
                f"{self.url}/{shard.file}: {kind}: {len(data)} bytes with xxh3 {digest}, the index says "
                f"{shard.size_bytes} bytes with {shard.xxh3_128}; copy it again, or build the catalogue again"
            )
        return data

    def require(self, setting: str, chosen: Collection[str], known: Collection[str]) -> None:
        """Raise UnknownChoiceError unless the catalogue knows everything that `setting` names."""
        for name in chosen:
            if name not in known:
                raise UnknownChoiceError(f"{setting}: {name!r} is not in {self.url}{nearest_hint(name, known)}")
