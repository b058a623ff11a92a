"""A sample's embedding depends on the sample alone: not on neighbours, padding, rank or generator state."""

import pytest
import torch

from recipes.clip import ClipModel, featurizer
from recipes.config import ClipModelConfig
from recipes.models import build_model, parameter_count
from tests.fixtures_clip import TINY

TEXTS = ["grinning face", "x", "", "ein sehr langer Name eines Zeichens"]


def make(text_tower: str, **options: object) -> tuple[ClipModelConfig, ClipModel]:
    torch.manual_seed(0)
    config = ClipModelConfig(**{**TINY, "text_tower": text_tower, **options})
    return config, ClipModel(config)


@pytest.mark.parametrize("text_tower", ["ngram", "bytes"])
def test_embeddings_are_unit_vectors_and_independent_of_the_batch(text_tower: str) -> None:
    config, model = make(text_tower)
    images = torch.rand(4, 3, 16, 16)
    output = model({"images": images, **featurizer(config)(TEXTS)})
    torch.testing.assert_close(output.image.norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(output.text.norm(dim=-1), torch.ones(4))
    assert output.scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    for index, text in enumerate(TEXTS):
        alone = model({"images": images[index : index + 1], **featurizer(config)([text])})
        torch.testing.assert_close(alone.image[0], output.image[index])
        torch.testing.assert_close(alone.text[0], output.text[index])


@pytest.mark.parametrize("text_tower", ["ngram", "bytes"])
def test_one_side_alone(text_tower: str) -> None:
    config, model = make(text_tower)
    assert model({"images": torch.rand(2, 3, 16, 16)}).text is None
    assert model(featurizer(config)(TEXTS)).image is None


@pytest.mark.parametrize("text_tower", ["ngram", "bytes"])
def test_bf16_weights(text_tower: str) -> None:
    config, model = make(text_tower)
    model.bfloat16()
    output = model({"images": torch.rand(2, 3, 16, 16), **featurizer(config)(TEXTS)})
    assert {x.dtype for x in output} == {torch.float32}
    (output.image.sum() + output.text.sum() + output.scale.sum()).backward()
    assert all(p.grad is not None and p.grad.dtype == torch.bfloat16 for p in model.parameters())


@pytest.mark.parametrize("text_tower", ["ngram", "bytes"])
def test_dropout_is_a_function_of_the_sample_key(text_tower: str) -> None:
    config, model = make(text_tower, dropout=0.5)
    keys = torch.arange(2) + 10
    batch = {"images": torch.rand(2, 3, 16, 16), **featurizer(config)(TEXTS), "sample_key": keys}
    first = model(batch)
    torch.rand(7)
    again = model(batch)
    other = model({**batch, "sample_key": keys + 100})
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.text, again.text)
    assert not torch.equal(first.image, other.image)
    second = model({
        "images": batch["images"][1:], **featurizer(config)(TEXTS[2:]), "sample_key": keys[1:]
    })
    torch.testing.assert_close(second.image[0], first.image[1])
    torch.testing.assert_close(second.text, first.text[2:])


def test_dropout_without_keys_says_so_and_evaluation_needs_none() -> None:
    _, model = make("ngram", dropout=0.5)
    with pytest.raises(ValueError, match="sample_key"):
        model({"images": torch.rand(2, 3, 16, 16)})
    model.eval()
    model({"images": torch.rand(2, 3, 16, 16)})


def test_weights_are_a_function_of_the_seed() -> None:
    first, second = make("ngram")[1], make("ngram")[1]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("text_tower", ["ngram", "bytes"])
def test_recomputation_changes_nothing(text_tower: str) -> None:
    config, model = make(text_tower, dropout=0.3)
    batch = {"images": torch.rand(2, 3, 16, 16), **featurizer(config)(TEXTS), "sample_key": torch.arange(2)}
    expected = gradients(model, batch)
    assert model.checkpointable()
    for block in model.checkpointable():
        plain = block.forward
        block.forward = lambda *args, plain=plain: torch.utils.checkpoint.checkpoint(plain, *args, use_reentrant=False)
    for found, wanted in zip(gradients(model, batch), expected, strict=True):
        assert torch.equal(found, wanted)


def gradients(model: ClipModel, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    model.zero_grad()
    output = model(batch)
    ((output.image[:, 0].sum() + output.text[:, 0].sum()) * output.scale).sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_parameter_count_needs_no_memory() -> None:
    config, model = make("ngram")
    assert parameter_count(config) == sum(p.numel() for p in model.parameters())
    huge = ClipModelConfig(ngram_buckets=2**36, text_width=1024)
    assert parameter_count(huge) > 2**46
    assert isinstance(build_model(config), ClipModel)
