"""Symmetric InfoNCE with negatives from the whole global batch: all ranks and all micro-batches.

Loss and gradients depend neither on the number of ranks nor on accumulation, up to rounding. InfoNCE after van den
Oord et al. 2018 (arXiv:1807.03748), symmetric as in CLIP (arXiv:2103.00020); accumulation by gradient caching after
Gao et al. 2021 (arXiv:2101.06983).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812

from recipes.collectives import gather, gather_with_gradient, own_rank
from recipes.protocol import Batch, Forward, MicroLoss


class Embeddings(Protocol):
    """What the loss reads of a model's output; ClipOutput is one."""

    @property
    def image(self) -> torch.Tensor:
        """Unit vectors [n, d]."""
        ...

    @property
    def text(self) -> torch.Tensor:
        """Unit vectors [n * texts_per_image, d], the texts of a sample next to each other."""
        ...

    @property
    def scale(self) -> torch.Tensor:
        """The inverse temperature, [1]."""
        ...


class _Leaves(NamedTuple):
    image: torch.Tensor
    text: torch.Tensor
    scale: torch.Tensor


def info_nce(output: Embeddings, group: torch.Tensor, text_to_text: float = 0.0) -> torch.Tensor:
    """Return the mean loss of this rank's rows against the columns of all ranks; its mean over ranks is the loss.

    For each image and each of its texts: the cross-entropy of finding the text among one text of each sample, and
    the image among all images, averaged. With `text_to_text` also that of finding from each text the sample's text
    before and after it, which ties the locales together. Other samples of the same group are no negatives and are
    left out.

    Every rank calls it with equal shapes; collective, and so is its backward pass.

    Args:
        output: this rank's embeddings, n images and n * t texts.
        group: int64 [n]; samples of one group show and say the same thing.
        text_to_text: weight of finding texts by texts, against 1 for images and texts. The result is the weighted
            mean, so that a model that knows nothing stands at log(samples of all ranks) whatever the weight.
    """
    samples, dim = output.image.shape
    texts = output.text.view(samples, -1, dim)
    all_texts = gather_with_gradient(output.text).view(-1, *texts.shape[1:])
    images = output.image[:, None].expand_as(texts)
    all_images = gather_with_gradient(output.image)[:, None].expand_as(all_texts)
    own = torch.arange(samples, device=group.device) + own_rank() * samples
    same = group[:, None] == gather(group)[None, :]
    same[torch.arange(samples, device=group.device), own] = False
    search = partial(_search_loss, scale=output.scale, own=own, excluded=same)

    loss = (search(images, all_texts) + search(texts, all_images)) / 2
    if text_to_text and texts.shape[1] > 1:
        among_texts = (search(texts, all_texts.roll(1, 1)) + search(texts, all_texts.roll(-1, 1))) / 2
        loss = (loss + text_to_text * among_texts) / (1 + text_to_text)
    return loss


def _search_loss(
    queries: torch.Tensor, candidates: torch.Tensor, scale: torch.Tensor, own: torch.Tensor, excluded: torch.Tensor
) -> torch.Tensor:
    """Return the mean cross-entropy of finding for query (i, k) the candidate (own[i], k) among candidates (:, k).

    Args:
        queries: [n, t, d].
        candidates: [m, t, d].
        scale: inverse temperature.
        own: int64 [n], the right candidate.
        excluded: bool [n, m], candidates that do not count.
    """
    logits = scale * torch.einsum("ntd,mtd->ntm", queries, candidates)
    logits = logits.masked_fill(excluded[:, None, :], -torch.inf)
    return F.cross_entropy(logits.flatten(0, 1), own.repeat_interleave(queries.shape[1]))


def info_nce_losses(
    forward: Forward, micro_batches: Sequence[Batch], text_to_text: float = 0.0
) -> Iterator[MicroLoss]:
    """Yield the contributions of this rank's micro-batches to one step, each batch with `group` int64 [n].

    One micro-batch is differentiated directly. Several would each see their own negatives only; so all are embedded
    first without gradients, the loss of the whole is differentiated with respect to the embeddings, and each
    micro-batch is embedded again and pulled back through its share of that gradient. The second pass must give the same
    embeddings: dropout is keyed by sample, not drawn.
    """
    if len(micro_batches) == 1:
        loss = info_nce(forward(micro_batches[0]), micro_batches[0]["group"], text_to_text)
        yield MicroLoss(loss, loss.detach())
        return
    with torch.no_grad():
        cached = [forward(batch) for batch in micro_batches]
    leaves = _Leaves(
        torch.cat([output.image for output in cached]).requires_grad_(),
        torch.cat([output.text for output in cached]).requires_grad_(),
        cached[0].scale.clone().requires_grad_(),
    )
    with torch.enable_grad():
        loss = info_nce(leaves, torch.cat([batch["group"] for batch in micro_batches]), text_to_text)
    gradients = _Leaves(*torch.autograd.grad(loss, leaves))
    images = torch.split(gradients.image, [len(output.image) for output in cached])
    texts = torch.split(gradients.text, [len(output.text) for output in cached])
    for batch, image, text in zip(micro_batches, images, texts, strict=True):
        output = forward(batch)
        # The engine averages over micro-batches: the embeddings' shares add up, the scale's is the same for all.
        pulled = len(micro_batches) * ((output.image * image).sum() + (output.text * text).sum())
        yield MicroLoss(pulled + (output.scale * gradients.scale).sum(), loss.detach())
