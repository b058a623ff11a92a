from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recipes.augmentation import draw_affine, warp
from recipes.catalogue_data import CatalogueData
from recipes.config import CatalogueDataConfig
from recipes.errors import NothingToTrainError, UnknownChoiceError
from recipes.records import open_records
from recipes.remote_files import RemoteFolder
from recipes.shards import write_catalogue
from tests.fixtures_catalogue import one_entity

Make = Callable[..., CatalogueDataConfig]
BATCH = 24
RICH: Mapping[str, Any] = {"text": "mixed", "augment": "light", "texts_per_image": 3}


def as_bytes(texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """A featurizer that loses nothing: one row per text, padded to 120 bytes."""
    rows = [list(text.encode()[:120].ljust(120, b"\0")) for text in texts]
    return {"text": torch.tensor(rows, dtype=torch.uint8).reshape(len(texts), 120)}


def texts_of(batch: Mapping[str, Any]) -> list[str]:
    return [bytes(row.tolist()).rstrip(b"\0").decode(errors="ignore") for row in batch["text"]]


def make_data(config: CatalogueDataConfig, *, seed: int = 0, batch: int = BATCH) -> CatalogueData:
    return CatalogueData(open_records(config), config, seed=seed, global_batch=batch, featurize=as_bytes)


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def whole(data: CatalogueData, step: int, *, world: int = 1) -> dict[str, torch.Tensor]:
    share = BATCH // world
    return joined([data.batch(step, rank * share, (rank + 1) * share) for rank in range(world)])


@pytest.mark.parametrize("settings", [{}, RICH])
@pytest.mark.parametrize("world", [2, 4, 24])
def test_slices_are_the_whole_bit_for_bit(world: int, settings: Mapping[str, Any], sample_config: Make) -> None:
    config = sample_config(**settings)
    data, ranks = make_data(config), [make_data(config) for _ in range(world)]
    share = BATCH // world
    for step in (0, 1, 37, 10**7):
        parts = [ranks[rank].batch(step, rank * share, (rank + 1) * share) for rank in range(world)]
        assert same(joined(parts), data.batch(step, 0, BATCH))
        ids = [ranks[rank].sample_ids(step, rank * share, (rank + 1) * share) for rank in range(world)]
        assert list(chain.from_iterable(ids)) == data.sample_ids(step, 0, BATCH)


def test_a_run_that_changes_its_world_size_sees_what_it_would_have(sample_config: Make) -> None:
    config = sample_config(**RICH)
    data = make_data(config)
    steady = [whole(data, step) for step in range(9)]
    elastic = [whole(make_data(config), step, world=1 if step < 3 else 4 if step < 6 else 2) for step in range(9)]
    assert all(same(a, b) for a, b in zip(steady, elastic, strict=True))


def test_a_batch_does_not_depend_on_what_was_asked_before(sample_config: Make) -> None:
    data = make_data(sample_config(**RICH))
    first = data.batch(5, 0, BATCH)
    data.batch(6, 3, 9)
    assert same(data.batch(5, 0, BATCH), first)
    assert not same(data.batch(6, 0, BATCH), first)
    assert not same(make_data(sample_config(**RICH), seed=1).batch(5, 0, BATCH), first)


def test_the_order_of_samples_is_pinned(sample_config: Make) -> None:
    """A checkpoint's data position is a step: if these change, runs no longer continue where they were."""
    data = make_data(sample_config())
    assert data.sample_ids(0, 0, 8) == PINNED_STEP_0
    assert data.sample_ids(1000, 16, 24) == PINNED_STEP_1000


PINNED_STEP_0 = [514, 1792, 1454, 540, 908, 954, 1806, 1090]
PINNED_STEP_1000 = [554, 1978, 132, 1836, 1278, 582, 1658, 146]


def test_held_out_entities_are_never_trained_on(sample_config: Make) -> None:
    data, records = make_data(sample_config(**RICH)), open_records(sample_config())
    rows = {row for step in range(50) for row in data.sample_ids(step, 0, BATCH)}
    held_out_rows = set(records.rows[records.held_out].ravel().tolist())
    assert len(rows) > 500
    assert not rows & held_out_rows
    groups = {int(group) for step in range(50) for group in data.batch(step, 0, BATCH)["group"]}
    assert not groups & set(records.group_numbers[records.held_out].tolist())


def test_an_epoch_shows_each_training_concept_once(tiny_config: Make) -> None:
    config = tiny_config(vendors=("noto", "fluent3d"))
    records = open_records(config)
    data = make_data(config, batch=1)
    trained = [entity for entity in records.entities if entity.code == entity.base and not entity.held_out]
    assert data.num_samples == len(trained)
    orders = []
    for epoch in range(3):
        entities = [int(data.batch(epoch * data.num_samples + n, 0, 1)["entity"]) for n in range(data.num_samples)]
        orders.append([int(records.base_indices[entity]) for entity in entities])
        assert sorted(orders[-1]) == [entity.index for entity in trained]
    assert len({tuple(order) for order in orders}) == 3


def test_what_a_sample_shows(tiny_config: Make) -> None:
    config = tiny_config(vendors=("noto", "twemoji"), texts_per_image=2)
    records, data = open_records(config), make_data(config)
    shown = {vendor: 0 for vendor in records.vendors}
    tones = 0
    for step in range(10):
        batch, rows = data.batch(step, 0, BATCH), data.sample_ids(step, 0, BATCH)
        assert (batch["images"].shape, batch["images"].dtype) == ((BATCH, 3, 32, 32), torch.float32)
        assert batch["entity"].dtype == batch["group"].dtype == torch.int64
        for number, row in enumerate(rows):
            entity = records.entities[int(batch["entity"][number])]
            vendor = next(vendor for vendor, own in entity.rows.items() if own == row)
            shown[vendor] += 1
            tones += entity.skin_tone != ""
            pixels = torch.from_numpy(records.images[row].copy()).permute(2, 0, 1) / 255
            assert torch.equal(batch["images"][number], pixels)
            assert int(batch["group"][number]) == records.group_numbers[entity.index]
            names = {entity.names[locale] for locale in config.locales if locale in entity.names}
            assert set(texts_of(batch)[2 * number : 2 * number + 2]) == names
    assert shown["fluent3d"] == 0
    assert abs(shown["noto"] - shown["twemoji"]) < 80
    assert 0 < tones < 30


def test_mixed_texts_are_names_keywords_and_both(sample_config: Make) -> None:
    config = sample_config(text="mixed", texts_per_image=4)
    records, data = open_records(config), make_data(config)
    kinds = {"name": 0, "keywords": 0, "both": 0}
    for step in range(12):
        batch = data.batch(step, 0, BATCH)
        for number, text in enumerate(texts_of(batch)):
            entity = records.entities[int(batch["entity"][number // 4])]
            first, *rest = lines = text.split("\n")
            names = {entity.names[locale] for locale in config.locales}
            keywords = {word for locale in config.locales for word in entity.keywords[locale]}
            assert len(lines) <= 4
            assert len(set(rest)) == len(rest)
            assert set(rest) <= keywords or len(text.encode()) >= 119
            kinds["both" if first in names and rest else "name" if first in names else "keywords"] += 1
    total = sum(kinds.values())
    assert kinds["name"] / total > 0.45
    assert kinds["keywords"] / total > 0.15
    assert kinds["both"] / total > 0.15


def test_light_augmentation_moves_a_little_and_keeps_white(sample_config: Make) -> None:
    plain, moved = (make_data(sample_config(augment=kind)).batch(0, 0, BATCH) for kind in ("none", "light"))
    assert torch.equal(plain["entity"], moved["entity"])
    assert torch.equal(plain["text"], moved["text"])
    difference = (plain["images"] - moved["images"]).abs().flatten(1).mean(1)
    assert difference.min() > 0
    assert difference.mean() < 0.12
    assert 0 <= moved["images"].min() <= moved["images"].max() <= 1
    assert (moved["images"][:, :, 0, 0] > 0.9).float().mean() > 0.8


def test_the_middle_of_the_draw_leaves_a_picture_as_it_is() -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    still = torch.tensor([draw_affine(0.5, 0.5, 0.5, 0.5)] * 2)
    assert torch.allclose(warp(images, still), images, atol=1e-5)


def test_no_draw_flips_a_picture() -> None:
    for draw in np.random.default_rng(0).random((200, 4)):
        a, b, _, c, d, _ = draw_affine(*draw)
        assert a * d - b * c > 0.7
        assert min(a, d) > 0.8


def test_empty_and_impossible_slices(sample_config: Make) -> None:
    data = make_data(sample_config(**RICH))
    assert len(data.batch(0, 4, 4)["images"]) == 0
    for start, stop in ((-1, 2), (3, 2), (0, BATCH + 1)):
        with pytest.raises(ValueError, match="of a global batch of 24"):
            data.batch(0, start, stop)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    entities = [one_entity("A", vendor="u", locale="en"), one_entity("B", vendor="v", locale="de")]
    write_catalogue(RemoteFolder(str(tmp_path / "c")), entities, [])
    config = CatalogueDataConfig(
        url=str(tmp_path / "c"), cache_folder=str(tmp_path / "cache"), locales=("de",), vendors=("u",)
    )
    with pytest.raises(NothingToTrainError, match="no concept has a picture by u and a name in de"):
        make_data(config)


def test_unknown_locale_is_found_before_training(tiny_config: Make) -> None:
    with pytest.raises(UnknownChoiceError):
        make_data(tiny_config(locales=("xx",)))
