"""Fixtures around a tiny catalogue, built by the same code as the real one, and the sample in the repository."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recipes.catalogue_build import build_catalogue
from recipes.config import CatalogueDataConfig
from tests.fixtures_catalogue import write_packages


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def tiny(packages: Path, tmp_path: Path) -> Path:
    """A tiny catalogue that the test may damage."""
    out = tmp_path / "tiny"
    build_catalogue(str(out), packages_folder=str(packages))
    return out


@pytest.fixture(scope="session")
def record_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture
def tiny_config(tiny: Path, tmp_path: Path) -> Callable[..., CatalogueDataConfig]:
    """Make configurations of the tiny catalogue, with a cache of the test's own."""

    def make(**changes: Any) -> CatalogueDataConfig:
        settings = {"url": str(tiny), "cache_folder": str(tmp_path / "cache"), "locales": ("en", "de"), **changes}
        return CatalogueDataConfig(**settings)

    return make


@pytest.fixture
def sample_config(record_cache_folder: Path) -> Callable[..., CatalogueDataConfig]:
    """Make configurations of the repository's sample, with a cache that the tests share."""

    def make(**changes: Any) -> CatalogueDataConfig:
        return CatalogueDataConfig(cache_folder=str(record_cache_folder), **changes)

    return make
