"""The real packages: from the folder in OSTINATO_NPM_PACKAGES, else fetched by npm."""

import os
import shutil
from pathlib import Path

import pytest

from recipes.catalogue_build import build_catalogue, build_sample
from recipes.records import SAMPLE_URL

PACKAGES = os.environ.get("OSTINATO_NPM_PACKAGES")

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(PACKAGES is None and shutil.which("npm") is None, reason="no npm, no OSTINATO_NPM_PACKAGES"),
]


def test_the_full_catalogue(tmp_path: Path) -> None:
    found = build_catalogue(str(tmp_path), packages_folder=PACKAGES).catalogue
    assert (found.entities, found.base_entities) == (3786, 1911)
    assert found.vendors == {"noto": 3786, "twemoji": 3786, "fluent3d": 3372}
    assert found.locales_with_many_names >= 100
    assert 1600 <= found.leak_groups <= 1710


def test_the_sample_is_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    build_sample(str(tmp_path), packages_folder=PACKAGES)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name: path.read_bytes() for path in Path(SAMPLE_URL).iterdir()} == built
