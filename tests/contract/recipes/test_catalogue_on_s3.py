"""A catalogue on a real S3 server: built there, described, read, and damaged."""

from pathlib import Path

import pytest
from fixtures_seaweedfs import SeaweedServer, seaweedfs

from recipes.catalogue_build import build_catalogue
from recipes.catalogue_report import describe_catalogue
from recipes.catalogue_source import CatalogueSource
from recipes.config import CatalogueDataConfig
from recipes.errors import MissingShardError, NoCatalogueError, UnreachableError
from recipes.records import open_records
from recipes.remote_files import RemoteFolder
from tests.fixtures_catalogue import NUM_ENTITIES, write_packages

__all__ = ["seaweedfs"]


def test_a_catalogue_on_s3(seaweedfs: SeaweedServer, tmp_path: Path) -> None:
    url, options = seaweedfs.url(), seaweedfs.fsspec_options
    with pytest.raises(NoCatalogueError, match=f"{url}: no index.json there"):
        describe_catalogue(url, options)
    packages = str(write_packages(tmp_path / "packages"))
    built = build_catalogue(url, packages_folder=packages, storage_options=options).catalogue
    assert describe_catalogue(url, options) == built
    cache = str(tmp_path / "cache")
    config = CatalogueDataConfig(url=url, storage_options=options, cache_folder=cache, locales=("en",))
    with pytest.raises(UnreachableError, match="credentials"):
        describe_catalogue(url, {**options, "secret": "wrong"})
    shard = CatalogueSource(url, options).index.shards[0].file
    RemoteFolder(url, options).delete(shard)
    with pytest.raises(MissingShardError, match=shard):
        open_records(config)
    build_catalogue(url, packages_folder=packages, storage_options=options)
    records = open_records(config)
    assert (len(records.entities), records.fingerprint) == (NUM_ENTITIES, built.fingerprint)
