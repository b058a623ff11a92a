import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recipes.catalogue_build import build_catalogue
from recipes.catalogue_report import describe_catalogue
from recipes.catalogue_schema import SCHEMA
from recipes.config import CatalogueDataConfig
from recipes.errors import PackagesError, RenderError, UnknownChoiceError, UnreachableError
from recipes.records import open_records
from recipes.remote_files import RemoteFolder
from recipes.rendering import five_bits, render
from recipes.shards import write_catalogue
from tests.fixtures_catalogue import (
    LOCALES,
    NUM_BASE,
    NUM_ENTITIES,
    NUM_FLAGS,
    TWIN_FLAGS,
    WITHOUT_FLUENT,
    WITHOUT_GERMAN,
    one_entity,
)


def build(out: Path, packages: Path, **settings: object) -> str:
    return build_catalogue(str(out), packages_folder=str(packages), **settings).catalogue.fingerprint  # type: ignore[arg-type]


def test_counts(tiny: Path) -> None:
    found = describe_catalogue(str(tiny))
    assert found.vendors == {"noto": NUM_ENTITIES, "twemoji": NUM_ENTITIES, "fluent3d": NUM_ENTITIES - 1}
    assert found.locales == {"de": NUM_ENTITIES - 1, "en": NUM_ENTITIES, "ja": NUM_ENTITIES}
    assert (found.entities, found.base_entities, found.flags) == (NUM_ENTITIES, NUM_BASE, NUM_FLAGS)
    assert found.leak_groups == NUM_BASE - 1 - 2  # the twin flags, and three kinds of police officer
    assert sum(found.held_out_by_seed) == NUM_BASE - NUM_FLAGS
    assert sum(found.categories.values()) == NUM_BASE
    assert {source.licence for source in found.sources} == {"Apache-2.0", "CC-BY-4.0", "MIT", "Unicode-3.0"}
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - our own


def test_the_rows_of_an_entity_follow_one_another(tiny: Path) -> None:
    tables = [pq.read_table(path, schema=SCHEMA) for path in sorted(tiny.glob("*.parquet"))]
    codes = [code for table in tables for code in table["entity"].to_pylist()]
    assert [code for n, code in enumerate(codes) if n == 0 or codes[n - 1] != code] == list(dict.fromkeys(codes))
    rows = {(row["entity"], row["vendor"]): row for table in tables for row in table.to_pylist()}
    assert (WITHOUT_FLUENT, "fluent3d") not in rows
    assert "de" not in dict(rows[WITHOUT_GERMAN, "noto"]["names"])
    officer = rows["1F46E-1F3FB-200D-2640-FE0F", "twemoji"]
    assert (officer["base"], officer["group"]) == ("1F46E-200D-2640-FE0F", "1F46E")
    assert (officer["skin_tone"], officer["gender"], officer["is_flag"]) == ("light", "woman", False)
    twins = [rows[code, "noto"] for code in TWIN_FLAGS]
    assert twins[0]["image"] == twins[1]["image"]
    assert twins[0]["group"] == twins[1]["group"] == TWIN_FLAGS[0]
    assert len(twins[0]["image"]) == 32 * 32 * 3


def test_the_same_packages_give_the_same_bytes(tiny: Path, packages: Path, tmp_path: Path) -> None:
    build(tmp_path / "again", packages)
    files = {path.name: path.read_bytes() for path in tiny.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == files


def test_the_fingerprint_is_of_the_content_and_not_of_its_encoding(tmp_path: Path) -> None:
    levels = [
        write_catalogue(RemoteFolder(str(tmp_path / str(level))), [one_entity()], [], compression_level=level)
        for level in (1, 19)
    ]
    assert levels[0].shards != levels[1].shards
    assert levels[0].fingerprint == levels[1].fingerprint
    changes = [one_entity(name="sea"), one_entity(pixel=1), one_entity(vendor="v"), one_entity(keywords=("a", "b"))]
    others = {write_catalogue(RemoteFolder(str(tmp_path / "x")), [e], []).fingerprint for e in changes}
    assert len(others | {levels[0].fingerprint}) == 5


def test_on_any_fsspec_url(packages: Path, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/catalogue"
    local, remote = build(tmp_path / "local", packages), build_catalogue(url, packages_folder=str(packages)).catalogue
    assert remote.fingerprint == local
    assert describe_catalogue(url) == remote
    config = CatalogueDataConfig(url=url, cache_folder=str(tmp_path / "cache"), locales=("ja",))
    assert len(open_records(config).entities) == NUM_ENTITIES
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def test_a_catalogue_that_is_replaced_stays_whole_until_the_new_index_is_there(
    tiny: Path, packages: Path, tiny_config: Callable[..., CatalogueDataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = describe_catalogue(str(tiny))
    failed = []

    def fail_at_the_index(folder: RemoteFolder, name: str, data: bytes) -> None:
        if name == "index.json":
            failed.append(name)
            raise UnreachableError("scripted")
        write(folder, name, data)

    write = RemoteFolder.write
    monkeypatch.setattr(RemoteFolder, "write", fail_at_the_index)
    with pytest.raises(UnreachableError, match="scripted"):
        build(tiny, packages, locales=("en",))
    assert failed == ["index.json"]
    assert describe_catalogue(str(tiny)) == before
    assert open_records(tiny_config()).fingerprint == before.fingerprint
    monkeypatch.setattr(RemoteFolder, "write", write)
    build(tiny, packages, locales=("en",))
    assert len(list(tiny.glob("*.parquet"))) == describe_catalogue(str(tiny)).shards


def test_progress_reaches_the_end_of_each_stage(packages: Path, tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    build(tmp_path, packages, progress=lambda stage, done, total: seen.update({stage: (done, total)}))
    assert list(seen) == ["read names", "render noto", "render twemoji", "render fluent3d", "write shards"]
    assert all(done == total for done, total in seen.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vendors": ("notto",)}, "vendor 'notto' is not in the packages; did you mean 'noto'?"),
        ({"locales": ("xx",)}, f"locale 'xx' is not in the packages; there are {', '.join(LOCALES)}"),
    ],
)
def test_unknown_choices_name_the_nearest(
    settings: dict[str, object], message: str, packages: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownChoiceError, match=message.replace("?", r"\?")):
        build(tmp_path, packages, **settings)


def test_packages_of_another_version(packages: Path, tmp_path: Path) -> None:
    shutil.copytree(packages, tmp_path / "p")
    manifest = tmp_path / "p/node_modules/cldr-annotations-full/package.json"
    manifest.write_text(json.dumps({"version": "1.2.3"}))
    with pytest.raises(PackagesError, match=r"need cldr-annotations-full@\S+, found 1.2.3"):
        build(tmp_path / "out", tmp_path / "p")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("emoji-datasource-google/emoji.json", "[{}]", PackagesError),
        ("cldr-annotations-full/annotations/en/annotations.json", "{", PackagesError),
        ("emoji-datasource-twitter/img/twitter/64/1f600.png", "no picture", RenderError),
    ],
)
def test_a_damaged_package_is_named(
    file: str, content: str, error: type[Exception], packages: Path, tmp_path: Path
) -> None:
    shutil.copytree(packages, tmp_path / "p")
    (tmp_path / "p/node_modules" / file).write_text(content)
    with pytest.raises(error, match=file):
        build(tmp_path / "out", tmp_path / "p")


def test_five_bits_keep_both_ends_and_are_stable() -> None:
    every = np.arange(256, dtype=np.uint8)
    rounded = five_bits(every)
    assert (rounded[0], rounded[255], len(np.unique(rounded))) == (0, 255, 32)
    assert np.abs(rounded.astype(int) - every).max() <= 4
    assert np.array_equal(five_bits(rounded), rounded)


def test_transparent_edges_do_not_darken(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)  # transparent black around opaque yellow
    pixels[16:48, 16:48] = (255, 255, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    drawn = np.frombuffer(render(tmp_path / "a.png"), np.uint8).reshape(32, 32, 3)
    assert drawn[..., :2].min() == 255
    assert tuple(drawn[0, 0]) == (255, 255, 255)
    assert tuple(drawn[16, 16]) == (255, 255, 0)
