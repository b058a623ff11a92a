"""The sets, their names and sizes, and that the work is spread evenly, on a catalogue of six things."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recipes import catalogue_retrieval, collectives
from recipes.catalogue_retrieval import CatalogueRetrieval
from recipes.config import CatalogueDataConfig

VENDORS = ("noto", "twemoji")
LOCALES = ("en", "de")


def catalogue(concepts: int = 8) -> SimpleNamespace:
    entities = []
    for number in range(concepts):
        for tone in range(2):
            code = f"{number}" + "-tone" * tone
            names = {"en": f"thing {number}", "de": f"Ding {number}"}
            if number == 0:
                del names["de"]
            rows = {vendor: (number * 2 + tone) * 2 + v for v, vendor in enumerate(VENDORS)}
            entities.append(
                SimpleNamespace(
                    code=code, base=f"{number}", is_flag=number == 1, held_out=number < 3, names=names, rows=rows
                )
            )
    images = np.zeros((concepts * 4, 32, 32, 3), np.uint8)
    for entity in entities:
        for row in entity.rows.values():
            images[row, 0, 0, 0] = int(entity.base)
    return SimpleNamespace(entities=entities, vendors=VENDORS, locales=LOCALES, images=images)


class Oracle:
    """Embeds a picture and a name of the same thing as the same unit vector, and counts its calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, batch: dict[str, torch.Tensor]) -> SimpleNamespace:
        numbers = (batch["images"][:, 0, 0, 0] * 255).round().long() if "images" in batch else batch["number"]
        self.calls.append(len(numbers))
        unit = torch.eye(32)[numbers]
        return SimpleNamespace(image=unit, text=unit)


def featurize(texts: list[str]) -> dict[str, torch.Tensor]:
    return {"number": torch.tensor([int(text.split()[1]) for text in texts])}


def retrieval() -> CatalogueRetrieval:
    return CatalogueRetrieval(catalogue(), CatalogueDataConfig(locales=LOCALES, vendors=("noto",)), featurize)


def test_an_oracle_scores_full_marks_in_every_set() -> None:
    metrics = retrieval().measure(Oracle(), full=True)
    sets = {name.split("/")[0] for name in metrics} - {"chance", "n"}
    assert sets == {"heldout", "heldout_new_vendor", "heldout_flags", "seen_new_vendor"}
    assert all(value == 1.0 for name, value in metrics.items() if "_to_" in name)
    assert metrics["n/seen_new_vendor"] == 5
    assert metrics["n/heldout_flags"] == 1
    assert metrics["n/heldout"] == 1.5  # two in English, one of which has no German name
    assert metrics["chance/seen_new_vendor/r1"] == pytest.approx(0.2)
    assert metrics["heldout/mean/image_to_text_r1"] == 1.0


def test_the_short_form_looks_at_the_first_locale() -> None:
    metrics = retrieval().measure(Oracle(), full=False)
    assert "seen_new_vendor/en/text_to_image_r5" in metrics
    assert not [name for name in metrics if "/de/" in name]


def test_sets_that_are_empty_are_absent() -> None:
    everything = CatalogueRetrieval(catalogue(), CatalogueDataConfig(locales=("en",), vendors=VENDORS), featurize)
    assert {name.split("/")[0] for name in everything.measure(Oracle(), full=True)} == {
        "heldout", "heldout_flags", "chance", "n",
    }  # fmt: skip


def test_every_rank_makes_the_same_calls_and_the_same_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_retrieval, "_CHUNK", 2)
    expected = retrieval().measure(Oracle(), full=True)
    shares: list[list[torch.Tensor]] = []
    calls = []
    for rank in range(3):
        oracle, share = Oracle(), []
        monkeypatch.setattr(catalogue_retrieval, "num_ranks", lambda: 3)
        monkeypatch.setattr(catalogue_retrieval, "own_rank", lambda rank=rank: rank)
        monkeypatch.setattr(catalogue_retrieval, "gather", lambda x, share=share: share.append(x) or x.repeat(3, 1))
        retrieval().measure(oracle, full=True)
        shares.append(share)
        calls.append(oracle.calls)
    assert calls[0] == calls[1] == calls[2]
    gathered = iter([torch.cat(parts) for parts in zip(*shares, strict=True)])
    monkeypatch.setattr(catalogue_retrieval, "gather", lambda x: next(gathered))
    assert retrieval().measure(Oracle(), full=True) == expected
    assert collectives.num_ranks() == 1
