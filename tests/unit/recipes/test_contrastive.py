"""The loss and its gradients do not depend on how the global batch is cut."""

import math

import pytest
import torch

from recipes.clip import ClipModel, ClipOutput
from recipes.config import ClipModelConfig
from recipes.contrastive import info_nce, info_nce_losses
from tests.fixtures_clip import TINY, global_batch, part, step_gradients

SAMPLES = 12


@pytest.mark.parametrize("micro_batches", [2, 3, 4, 6])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_accumulation_changes_nothing(micro_batches: int, dropout: float) -> None:
    batch = global_batch(SAMPLES)
    loss, expected = step_gradients(batch, 1, dropout)
    accumulated_loss, gradients = step_gradients(batch, micro_batches, dropout)
    assert accumulated_loss == pytest.approx(loss, abs=1e-12)
    assert expected["log_scale"].abs().item() > 1e-4
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=1e-12, msg=name)


def test_matches_the_textbook_formula() -> None:
    torch.manual_seed(0)
    image = torch.nn.functional.normalize(torch.randn(5, 8, dtype=torch.float64), dim=-1)
    text = torch.nn.functional.normalize(torch.randn(5, 8, dtype=torch.float64), dim=-1)
    scale = torch.tensor([7.0], dtype=torch.float64)
    expected = 0.0
    for i in range(5):
        logits_image = [7.0 * float(image[i] @ text[j]) for j in range(5)]
        logits_text = [7.0 * float(text[i] @ image[j]) for j in range(5)]
        for logits in (logits_image, logits_text):
            expected += (math.log(sum(math.exp(x) for x in logits)) - logits[i]) / 10
    assert info_nce(ClipOutput(image, text, scale), torch.arange(5)).item() == pytest.approx(expected, abs=1e-12)


def test_several_texts_are_averaged() -> None:
    torch.manual_seed(0)
    image = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
    texts = torch.nn.functional.normalize(torch.randn(5, 3, 8), dim=-1)
    scale, group = torch.tensor([7.0]), torch.arange(5)
    each = [info_nce(ClipOutput(image, texts[:, k], scale), group) for k in range(3)]
    both = info_nce(ClipOutput(image, texts.flatten(0, 1), scale), group)
    torch.testing.assert_close(both, torch.stack(each).mean())


def test_same_group_is_no_negative() -> None:
    output = ClipOutput(torch.eye(4)[[0, 0, 1, 2]], torch.eye(4)[[0, 0, 1, 2]], torch.tensor([50.0]))
    twins = info_nce(output, torch.tensor([9, 9, 1, 2]))
    strangers = info_nce(output, torch.arange(4))
    assert twins.item() == pytest.approx(0.0, abs=1e-6)
    assert strangers.item() == pytest.approx(math.log(2) / 2, abs=1e-6)


def test_a_batch_of_one_group_has_no_loss_and_finite_gradients() -> None:
    torch.manual_seed(0)
    image = torch.nn.functional.normalize(torch.randn(3, 8), dim=-1).requires_grad_()
    loss = info_nce(ClipOutput(image, image, torch.tensor([5.0])), torch.zeros(3, dtype=torch.int64))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()


def test_value_is_detached_and_backward_has_a_graph() -> None:
    model = ClipModel(ClipModelConfig(**TINY))
    for micro_batches in (1, 2):
        batch = global_batch(4)
        parts = [part(batch, i, micro_batches) for i in range(micro_batches)]
        for loss in info_nce_losses(model.float(), [{**p, "images": p["images"].float()} for p in parts]):
            assert not loss.value.requires_grad
            assert loss.backward.requires_grad
            loss.backward.backward()


def test_texts_find_one_another() -> None:
    torch.manual_seed(0)
    image = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
    texts = torch.nn.functional.normalize(torch.randn(5, 3, 8), dim=-1)
    scale, group = torch.tensor([7.0]), torch.arange(5)
    output = ClipOutput(image, texts.flatten(0, 1), scale)
    pairs = [info_nce(ClipOutput(texts[:, k], texts[:, (k + 1) % 3], scale), group) for k in range(3)]
    expected = (info_nce(output, group) + 0.5 * torch.stack(pairs).mean()) / 1.5
    torch.testing.assert_close(info_nce(output, group, text_to_text=0.5), expected)


def test_one_text_for_each_image_has_no_other_to_find() -> None:
    output = ClipOutput(torch.eye(4), torch.eye(4), torch.tensor([3.0]))
    assert torch.equal(info_nce(output, torch.arange(4), text_to_text=0.5), info_nce(output, torch.arange(4)))
