"""The recipe on the sample in the repository: it builds, learns, evaluates, and says what does not fit."""

from pathlib import Path

import pytest
import torch

from recipes import build_recipe
from recipes.clip import ClipModel
from recipes.config import CatalogueClipConfig, CatalogueDataConfig, ClipModelConfig, CustomConfig, TargetConfig
from recipes.custom import CustomRecipe
from recipes.errors import CombinationError
from recipes.protocol import Batch, Recipe
from tests.fixtures_clip import TINY

OWN = TargetConfig(target="my_package.Thing")


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("records"))


def quickstart(cache_folder: str, **model: object) -> Recipe:
    """Return the recipe with the data section of the quickstart."""
    data = CatalogueDataConfig(cache_folder=cache_folder, augment="light")
    return build_recipe(CatalogueClipConfig(), ClipModelConfig(**model), data)


def train(recipe: Recipe, steps: int, global_batch: int) -> tuple[torch.nn.Module, list[float]]:
    torch.manual_seed(0)
    model = recipe.model()
    data = recipe.data(seed=0, global_batch=global_batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.1)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 50, total_iters=50)
    values = []
    for step in range(steps):
        optimizer.zero_grad()
        for loss in recipe.losses(model, [data.batch(step, 0, global_batch)]):
            loss.backward.backward()
            values.append(loss.value.item())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warmup.step()
    return model, values


@pytest.mark.timeout(900)  # half a minute on an idle core
def test_sixty_steps_of_the_quickstart_learn(cache_folder: str) -> None:
    recipe = quickstart(cache_folder)
    model, values = train(recipe, 60, 128)
    assert values[0] > 4.5
    assert sum(values[-5:]) / 5 < 4.0
    with torch.no_grad():
        metrics = recipe.evaluate(model.eval(), full=False)
    assert metrics["seen_new_vendor/en/image_to_text_r5"] > 5 * metrics["chance/seen_new_vendor/r5"]


@pytest.mark.parametrize("text_tower", ["ngram", "bytes"])
def test_evaluates_every_set_in_every_locale(cache_folder: str, text_tower: str) -> None:
    recipe = quickstart(cache_folder, **TINY, text_tower=text_tower)
    model, _ = train(recipe, 1, 8)
    with torch.no_grad():
        metrics = recipe.evaluate(model.eval(), full=True)
    for name in ("heldout", "heldout_new_vendor", "seen_new_vendor"):
        for locale in ("en", "de", "es", "ja", "mean"):
            for measure in ("image_to_text_r1", "image_to_text_r5", "text_to_image_r1", "text_to_image_r5"):
                assert 0.0 <= metrics[f"{name}/{locale}/{measure}"] <= 1.0
    assert metrics["n/heldout"] + metrics["n/seen_new_vendor"] == 1000


def cosine_loss(output: tuple[torch.Tensor, torch.Tensor, torch.Tensor], batch: Batch) -> torch.Tensor:
    image, text, _ = output
    return (1 - image[:, None] @ text.view(len(image), -1, image.shape[1]).transpose(1, 2)).mean()


def test_a_loss_of_the_users_own(cache_folder: str) -> None:
    loss = TargetConfig(target="tests.unit.recipes.test_catalogue_clip.cosine_loss")
    data = CatalogueDataConfig(cache_folder=cache_folder)
    recipe = build_recipe(CatalogueClipConfig(loss=loss), ClipModelConfig(**TINY), data)
    _, values = train(recipe, 2, 8)
    assert len(values) == 2


def test_a_model_of_the_users_own(cache_folder: str) -> None:
    own = TargetConfig(target="tests.unit.recipes.test_catalogue_clip.OwnModel")
    recipe = build_recipe(CatalogueClipConfig(), own, CatalogueDataConfig(cache_folder=cache_folder))
    model, values = train(recipe, 2, 8)
    assert type(model).__name__ == "OwnModel"
    assert len(values) == 2


class OwnModel(ClipModel):
    def __init__(self) -> None:
        super().__init__(ClipModelConfig(**TINY, text_tower="bytes"))


def test_what_does_not_fit_together(tmp_path: Path) -> None:
    with pytest.raises(CombinationError, match=r"my_package.Thing.*use recipe=custom"):
        build_recipe(CatalogueClipConfig(), ClipModelConfig(), OWN)
    with pytest.raises(CombinationError, match=r"data.kind = catalogue.*use recipe=catalogue_clip"):
        build_recipe(CustomConfig(), OWN, CatalogueDataConfig(cache_folder=str(tmp_path)))
    assert isinstance(build_recipe(CustomConfig(), OWN, OWN), CustomRecipe)
