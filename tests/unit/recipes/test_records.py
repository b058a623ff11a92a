import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from recipes import errors
from recipes.catalogue_report import describe_catalogue
from recipes.catalogue_schema import CatalogueIndex, ShardInfo, parse_index
from recipes.config import CatalogueDataConfig
from recipes.leak_groups import is_held_out
from recipes.record_cache import RecordCache
from recipes.records import SAMPLE_URL, open_records
from recipes.remote_files import RemoteFolder
from tests.fixtures_catalogue import NUM_ENTITIES, WITHOUT_FLUENT, WITHOUT_GERMAN

Make = Callable[..., CatalogueDataConfig]


# What is read is what was written


def test_records_are_the_shards(tiny: Path, tiny_config: Make) -> None:
    records = open_records(tiny_config())
    written = [row for path in sorted(tiny.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert len(records.images) == len(written)
    assert [row["image"] for row in written] == [image.tobytes() for image in records.images]
    by_code = {entity.code: entity for entity in records.entities}
    for number, row in enumerate(written):
        entity = by_code[row["entity"]]
        assert entity.rows[row["vendor"]] == number
        assert dict(entity.names) == dict(row["names"])
        assert dict(entity.keywords) == {locale: tuple(words) for locale, words in row["keywords"]}
        for name in ("char", "base", "group", "category", "subcategory", "skin_tone", "gender", "is_flag", "added_in"):
            assert getattr(entity, name) == row[name]
    assert "fluent3d" not in by_code[WITHOUT_FLUENT].rows
    assert "de" not in by_code[WITHOUT_GERMAN].names
    with pytest.raises(KeyError):
        by_code[WITHOUT_GERMAN].names["de"]


def test_arrays_agree_with_entities(tiny_config: Make) -> None:
    records = open_records(tiny_config(split_seed=3))
    entities = records.entities
    assert (len(entities), entities[-1], entities[1:3]) == (
        NUM_ENTITIES,
        entities[NUM_ENTITIES - 1],
        list(entities)[1:3],
    )
    for entity in entities:
        assert entities[int(records.base_indices[entity.index])].code == entity.base
        assert entity.held_out == records.held_out[entity.index] == is_held_out(entity.group, 3)
        assert records.rows[entity.index].tolist() == [entity.rows.get(vendor, -1) for vendor in records.vendors]
    numbers = {entity.group: int(records.group_numbers[entity.index]) for entity in entities}
    assert len(set(numbers.values())) == len(numbers)
    assert all(numbers[entity.group] == records.group_numbers[entity.index] for entity in entities)
    with pytest.raises(IndexError):
        entities[NUM_ENTITIES]


def test_pixels_are_read_only(tiny_config: Make) -> None:
    images = open_records(tiny_config()).images
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_opening_again_reads_no_shard(tiny: Path, tiny_config: Make) -> None:
    first = open_records(tiny_config())
    for path in tiny.glob("*.parquet"):
        path.unlink()
    again = open_records(tiny_config())
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.images, first.images)


# The sample in the repository


def test_the_sample_is_what_we_say_it_is(sample_config: Make) -> None:
    found = describe_catalogue()
    assert found.base_entities == found.entities >= 800
    assert (found.flags, found.rows) == (0, 2 * found.entities)
    assert set(found.vendors) == {"noto", "twemoji"}
    assert list(found.locales.values()) == [found.entities] * 16
    assert sum(path.stat().st_size for path in Path(SAMPLE_URL).iterdir()) <= 4_000_000
    assert {source.licence for source in found.sources} == {"Apache-2.0", "CC-BY-4.0", "Unicode-3.0"}
    records = open_records(sample_config())
    assert all(set(entity.rows) == {"noto", "twemoji"} and len(entity.names) == 16 for entity in records.entities)
    smile = next(entity for entity in records.entities if entity.code == "1F600")
    assert (smile.char, smile.names["en"], smile.names["ja"]) == ("😀", "grinning face", "にっこり笑う")


def test_the_sample_splits_by_group(sample_config: Make) -> None:
    held_out: list[set[str]] = []
    for seed in range(10):
        records = open_records(sample_config(split_seed=seed))
        groups = {kept: {e.group for e in records.entities if e.held_out is kept} for kept in (True, False)}
        assert not groups[True] & groups[False]
        assert records.held_out.sum() == describe_catalogue().held_out_by_seed[seed]
        held_out.append({entity.code for entity in records.entities if entity.held_out})
    assert sum(map(len, held_out)) == len(set.union(*held_out)) == describe_catalogue().entities


def test_the_sample_has_no_picture_in_both_splits(sample_config: Make) -> None:
    records = open_records(sample_config())
    for vendor in range(len(records.vendors)):
        pictures = {
            kept: {records.images[row].tobytes() for row in records.rows[records.held_out == kept, vendor]}
            for kept in (True, False)
        }
        assert not pictures[True] & pictures[False]


# What can be wrong with a catalogue


def index_of(folder: Path) -> CatalogueIndex:
    return parse_index((folder / "index.json").read_bytes(), str(folder))


def replace_shard(folder: Path, data: bytes) -> None:
    """Put `data` in place of the first shard, and have the index agree with it."""
    index = index_of(folder)
    first = index.shards[0]
    honest = ShardInfo(first.file, first.rows, len(data), xxhash.xxh3_128_hexdigest(data))
    (folder / first.file).write_bytes(data)
    text = (folder / "index.json").read_text()
    text = text.replace(first.xxh3_128, honest.xxh3_128).replace(f": {first.size_bytes},", f": {honest.size_bytes},")
    (folder / "index.json").write_text(text)


def rewrite(folder: Path, change: Callable[[list[dict[str, object]]], object]) -> None:
    path = folder / index_of(folder).shards[0].file
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), sink, row_group_size=16)
    replace_shard(folder, sink.getvalue().to_pybytes())


def cut(folder: Path) -> None:
    path = folder / index_of(folder).shards[0].file
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder: Path) -> None:
    path = folder / index_of(folder).shards[0].file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "no index": (lambda f: (f / "index.json").unlink(), errors.NoCatalogueError, "no index.json there.*data build"),
    "garbled index": (lambda f: (f / "index.json").write_text("{"), errors.NoCatalogueError, "not the index"),
    "other version": (
        lambda f: (f / "index.json").write_text('{"format": "ostinato-catalogue", "version": 9}'),
        errors.IndexVersionError,
        "version 9; we read 'ostinato-catalogue' version 1",
    ),
    "incomplete index": (
        lambda f: (f / "index.json").write_text('{"format": "ostinato-catalogue", "version": 1, "shards": []}'),
        errors.NoCatalogueError,
        "incomplete index",
    ),
    "missing": (
        lambda f: (f / index_of(f).shards[0].file).unlink(),
        errors.MissingShardError,
        "shard-00000.*not there",
    ),
    "truncated": (cut, errors.DamagedShardError, r"shard-00000\S*: truncated: \d+ bytes"),
    "changed": (flip, errors.DamagedShardError, r"shard-00000\S*: changed"),
    "no Parquet": (lambda f: replace_shard(f, b"hello"), errors.DamagedShardError, "shard-00000.*not a shard"),
    "short picture": (
        lambda f: rewrite(f, lambda rows: rows[37].update(image=b"abc")),
        errors.DamagedShardError,
        r"shard-00000\S*, row group 2, row 5: picture of 3 bytes, must be 3072",
    ),
    "unknown vendor": (
        lambda f: rewrite(f, lambda rows: rows[17].update(vendor="nobody")),
        errors.DamagedShardError,
        "row group 1, row 1: vendor nobody is not in the index",
    ),
    "unknown locale": (
        lambda f: rewrite(f, lambda rows: rows[0].update(names=[("xx", "a")])),
        errors.DamagedShardError,
        "locale 'xx', which the index does not name",
    ),
    "scattered entity": (
        lambda f: rewrite(f, lambda rows: rows.insert(9, rows.pop(0))),
        errors.DamagedShardError,
        "the rows of entity 1F600 do not follow one another",
    ),
    "one row too few": (
        lambda f: rewrite(f, lambda rows: rows.pop()),
        errors.DamagedShardError,
        "rows, the index says",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_leaves_nothing_in_the_cache(
    name: str, tiny: Path, tiny_config: Make, tmp_path: Path
) -> None:
    damage, kind, message = DAMAGES[name]
    damage(tiny)
    with pytest.raises(errors.RecipeError, match=message) as failure:
        open_records(tiny_config())
    assert type(failure.value) is kind
    assert str(tiny) in str(failure.value)
    assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)  # noqa: S301 - our own
    assert not entries(tmp_path / "cache")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"locales": ("en", "dee")}, r"data.locales: 'dee' is not in \S+; did you mean 'de'\?"),
        ({"vendors": ("twemoj",)}, r"data.vendors: 'twemoj' is not in \S+; did you mean 'twemoji'\?"),
        ({"locales": ("qq",)}, "data.locales: 'qq' is not in .*; there are de, en, ja"),
    ],
)
def test_unknown_choices_name_the_nearest(changes: dict[str, object], message: str, tiny_config: Make) -> None:
    with pytest.raises(errors.UnknownChoiceError, match=message):
        open_records(tiny_config(**changes))


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("nosuch://bucket/catalogue", {}),
        ("http://127.0.0.1:9/catalogue", {}),
        (
            "s3://bucket/catalogue",
            {
                "key": "k",
                "secret": "s",
                "endpoint_url": "http://127.0.0.1:9",
                "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 2},
            },
        ),
    ],
)
def test_a_url_that_cannot_be_read(url: str, options: dict[str, object], tiny_config: Make) -> None:
    with pytest.raises(errors.UnreachableError, match=f"{url}: cannot .*data.storage_options, credentials and network"):
        open_records(tiny_config(url=url, storage_options=options))


class StuckFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]
    protocol = "stuck"
    release = threading.Event()

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: object) -> bytes:
        self.release.wait(60)
        return b""


def test_a_client_that_hangs_meets_a_deadline() -> None:
    fsspec.register_implementation("stuck", StuckFiles, clobber=True)
    folder = RemoteFolder("stuck://bucket/catalogue", timeout_s=0.2)
    with pytest.raises(errors.UnreachableError, match=r"read index.json: no answer within 0 s"):
        folder.read("index.json")
    StuckFiles.release.set()


# The local cache


def fill_with(size_bytes: int, log: list[str] | None = None) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "data").write_bytes(bytes(size_bytes))
        if log is not None:
            log.append(folder.name)

    return fill


def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    cache = RecordCache(tmp_path, 250)
    (tmp_path / "the user's own").mkdir()
    (tmp_path / "the user's own" / "data").write_bytes(bytes(1000))
    for age_s, name in ((30, "a"), (20, "b")):
        cache.use(name, fill_with(100), lambda folder: None)
        os.utime(tmp_path / f"catalogue-{name}-v1", (time.time() - age_s,) * 2)
    cache.use("a", fill_with(100), lambda folder: None)
    cache.use("c", fill_with(100), lambda folder: None)
    assert entries(tmp_path) == {"catalogue-a-v1", "catalogue-c-v1"}
    cache.use("d", fill_with(240), lambda folder: None)
    assert entries(tmp_path) == {"catalogue-d-v1"}
    assert (tmp_path / "the user's own" / "data").exists()


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("catalogue-*") if path.is_dir()}


def test_an_entry_in_use_is_not_evicted(tmp_path: Path) -> None:
    cache = RecordCache(tmp_path, 150)
    cache.use("a", fill_with(100), lambda a: RecordCache(tmp_path, 150).use("b", fill_with(100), lambda b: None))
    assert "catalogue-a-v1" in entries(tmp_path)


def test_many_at_once_fill_once(tmp_path: Path) -> None:
    log: list[str] = []
    sizes: list[int] = []

    def one() -> None:
        cache = RecordCache(tmp_path, 1000)
        sizes.append(cache.use("a", fill_with(10, log), lambda folder: (folder / "data").stat().st_size))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(log), sizes) == (1, [10] * 8)


KILLED_WHILE_FILLING = """
import os, pathlib, signal, sys
from recipes.record_cache import RecordCache
def fill(folder):
    (folder / "data").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
RecordCache(pathlib.Path(sys.argv[1]), 1000).use("a", fill, lambda folder: None)
"""


def test_what_a_killed_process_left_is_cleared_and_its_lock_is_free(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_FILLING, str(tmp_path)], timeout=240, check=False)
    assert killed.returncode == -9
    assert entries(tmp_path) == {"catalogue-a-v1.partial"}
    cache = RecordCache(tmp_path, 1000, lock_timeout_s=5.0)
    assert cache.use("a", fill_with(7), lambda folder: (folder / "data").stat().st_size) == 7
    assert entries(tmp_path) == {"catalogue-a-v1"}


def test_waiting_for_the_lock_has_a_deadline(tmp_path: Path) -> None:
    held = RecordCache(tmp_path, 1000)
    waiting = RecordCache(tmp_path, 1000, lock_timeout_s=0.1)
    with pytest.raises(errors.RecordCacheError, match="another process has held this lock"):
        held.use("a", fill_with(1), lambda folder: waiting.use("a", fill_with(1), lambda folder: None))


def test_a_cache_folder_that_cannot_be(tiny_config: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.RecordCacheError, match=r"set data\.cache_folder to a writable folder"):
        open_records(tiny_config(cache_folder=str(tmp_path / "file" / "cache")))


def test_a_full_disk(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "data").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(errors.RecordCacheError, match="no space left for decoded records"):
        RecordCache(tmp_path, 1000).use("a", fill, lambda folder: None)
    assert not entries(tmp_path)


def test_a_bound_that_is_too_small(tiny_config: Make) -> None:
    with pytest.raises(errors.RecordCacheError, match=r"data.cache_max_bytes = 1000: \S+ needs at least \d+ bytes"):
        open_records(tiny_config(cache_max_bytes=1000))
