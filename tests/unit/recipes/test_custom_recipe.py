"""A user's own model, data and loss, from dotted paths to micro-losses."""

import pytest
import torch

from recipes.config import ClipModelConfig, CustomConfig, TargetConfig
from recipes.custom import CustomRecipe
from recipes.errors import TargetTypeError
from recipes.protocol import Batch, Forward
from tests.fixtures_clip import TINY

HERE = "tests.unit.recipes.test_custom_recipe"


class Regression(torch.nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 1)

    def forward(self, batch: Batch) -> torch.Tensor:
        return super().forward(batch["x"])


class Points:
    fingerprint = "points"
    num_samples = 100

    def __init__(self, seed: int, global_batch: int, offset: float = 0.0) -> None:
        self.seed, self.global_batch, self.offset = seed, global_batch, offset

    def batch(self, step: int, start: int, stop: int) -> Batch:
        x = torch.arange(start, stop).float()[:, None].expand(-1, 2) + self.offset
        return {"x": x, "y": x.sum(1, keepdim=True)}

    def sample_ids(self, step: int, start: int, stop: int) -> list[int]:
        return list(range(start, stop))

    def evaluate(self, forward: Forward, *, full: bool) -> dict[str, float]:
        return {"mean": forward(self.batch(0, 0, 4)).mean().item(), "full": float(full)}


class NotData:
    def __init__(self, **ignored: object) -> None:
        self.num_samples = 3


def squared_error(output: torch.Tensor, batch: Batch, power: float = 2.0) -> torch.Tensor:
    return ((output - batch["y"]).abs() ** power).mean()


def per_sample(output: torch.Tensor, batch: Batch) -> torch.Tensor:
    return output - batch["y"]


def target(name: str, **arguments: object) -> TargetConfig:
    return TargetConfig(target=f"{HERE}.{name}", arguments=arguments)


def test_trains_the_users_own() -> None:
    recipe = CustomRecipe(
        CustomConfig(loss=target("squared_error", power=2.0)), target("Regression"), target("Points", offset=1.0)
    )
    model = recipe.model()
    assert recipe.evaluate(model, full=True) == {}
    data = recipe.data(seed=5, global_batch=4)
    assert (data.seed, data.global_batch, data.offset) == (5, 4, 1.0)
    batches = [data.batch(0, 0, 2), data.batch(0, 2, 4)]
    losses = list(recipe.losses(model, batches))
    for batch, loss in zip(batches, losses, strict=True):
        torch.testing.assert_close(loss.value, squared_error(model(batch), batch).detach())
        loss.backward.backward()
    assert recipe.evaluate(model, full=True)["full"] == 1.0


def test_a_loss_must_be_one_number() -> None:
    recipe = CustomRecipe(CustomConfig(loss=target("per_sample")), target("Regression"), target("Points"))
    batch = recipe.data(seed=0, global_batch=4).batch(0, 0, 4)
    with pytest.raises(TargetTypeError, match=r"recipe.loss gave \[4, 1\]: must be a tensor of one element"):
        list(recipe.losses(recipe.model(), [batch]))


def test_data_must_be_data() -> None:
    recipe = CustomRecipe(CustomConfig(), ClipModelConfig(**TINY), target("NotData"))
    with pytest.raises(TargetTypeError, match=r"without fingerprint, batch, sample_ids"):
        recipe.data(seed=0, global_batch=4)


def test_without_a_loss_the_output_is_the_loss() -> None:
    recipe = CustomRecipe(CustomConfig(), target("Regression"), target("Points"))
    batch = recipe.data(seed=0, global_batch=1).batch(0, 0, 1)
    (loss,) = recipe.losses(recipe.model(), [batch])
    assert loss.backward.shape == ()
