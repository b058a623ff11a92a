"""Retrieval among a set of candidates: recall at k in both directions, and the level of chance."""

import torch

KS = (1, 5)


def recall(queries: torch.Tensor, candidates: torch.Tensor) -> dict[int, float]:
    """Return for each k in KS the share of queries whose own candidate is among the k most similar.

    A candidate as similar as the right one counts as more similar: a model that says the same of everything scores 0
    (with more than k candidates).

    Args:
        queries: unit vectors [n, d].
        candidates: unit vectors [n, d]; the i-th is the right answer to the i-th query.
    """
    similarity = queries @ candidates.T
    ahead = (similarity >= similarity.diagonal()[:, None]).sum(1) - 1
    return {k: (ahead < k).double().mean().item() for k in KS}


def both_directions(image: torch.Tensor, text: torch.Tensor) -> dict[str, float]:
    """Return `image_to_text_r1`, `image_to_text_r5`, `text_to_image_r1` and `text_to_image_r5`.

    Args:
        image: unit vectors [n, d].
        text: unit vectors [n, d] of the same n things.
    """
    directions = {"image_to_text": recall(image, text), "text_to_image": recall(text, image)}
    return {f"{name}_r{k}": value for name, found in directions.items() for k, value in found.items()}


def chance(num_candidates: int) -> dict[str, float]:
    """Return `r1` and `r5` of guessing blindly among so many candidates."""
    return {f"r{k}": min(1.0, k / num_candidates) for k in KS}
