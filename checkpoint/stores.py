"""Which store keeps a URL."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoint.errors import StoreError
from checkpoint.store import Store

_OBJECT_SCHEMES = frozenset({"s3", "s3a", "gs", "az", "abfs", "abfss"})
_FSSPEC_PREFIXES = frozenset({"s3fs", "fsspec"})


def open_store(url: str, storage_options: Mapping[str, Any] | None = None) -> Store:
    """Return the store that keeps objects below `url`.

    A path or `file://` is a folder; `s3://`, `gs://` and `az://` go through obstore; every other fsspec URL
    through fsspec, and `s3fs+s3://bucket/prefix` (or `fsspec+…`) chooses fsspec where obstore would be taken.
    An object store is listed once, so that a wrong endpoint, bucket or credential is one clear StoreError
    within seconds.
    """
    scheme, separator, rest = url.partition("://")
    prefix, plus, inner = scheme.partition("+")
    if not separator or scheme == "file":
        from checkpoint.store_local import LocalStore  # noqa: PLC0415 - each client is imported where it is used

        return LocalStore(Path(rest if separator else url))
    if scheme in _OBJECT_SCHEMES:
        from checkpoint.store_object import ObjectStore  # noqa: PLC0415

        return ObjectStore(url, storage_options)
    if plus and prefix not in _FSSPEC_PREFIXES:
        raise StoreError(f"{url}: unknown prefix {prefix!r}; allowed: {', '.join(sorted(_FSSPEC_PREFIXES))}")
    from checkpoint.store_fsspec import FsspecStore  # noqa: PLC0415

    return FsspecStore(f"{inner}://{rest}" if plus else url, storage_options)


def probe_conditional_put(store: Store) -> None:
    """Check that the store can be written and really refuses to create what exists; a few small requests.

    Called once before a run relies on it: some servers that speak S3 ignore If-None-Match, and there two
    attempts would both believe that they had committed. Raises StoreError saying so, StoreDenied when writing
    is not allowed.
    """
    key = f"probe/{uuid.uuid4().hex}"
    first, second = b"first", b"second"
    try:
        if not store.put_if_absent(key, first):
            raise StoreError(f"{store.url}: says that the new object {key} exists already")
        created_again = store.put_if_absent(key, second)
        if created_again or store.get(key) != first:
            raise StoreError(
                f"{store.url}: ignores the condition If-None-Match, so that commits are not safe here: use a "
                "server that enforces it (AWS S3, SeaweedFS, MinIO, Ceph, R2, GCS, Azure), or a folder"
            )
    finally:
        store.delete([key])
