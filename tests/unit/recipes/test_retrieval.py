import pytest
import torch

from recipes.retrieval import both_directions, chance, recall


def test_perfect_and_reversed() -> None:
    eye = torch.eye(8)
    assert recall(eye, eye) == {1: 1.0, 5: 1.0}
    assert recall(eye, eye.roll(1, 0)) == {1: 0.0, 5: 0.0}


def test_ties_count_against_us() -> None:
    same = torch.ones(8, 4) / 2
    assert recall(same, same) == {1: 0.0, 5: 0.0}


def test_ranks() -> None:
    # One query direction; candidate i has similarity 1 - i/10: query i finds its own at rank i.
    similarity = 1 - torch.arange(8) / 10
    candidates = torch.stack([similarity, (1 - similarity**2).sqrt()], dim=1)
    queries = torch.tensor([[1.0, 0.0]]).expand(8, 2)
    assert recall(queries, candidates) == {1: 1 / 8, 5: 5 / 8}


def test_directions_and_chance() -> None:
    assert both_directions(torch.eye(6), torch.eye(6)) == {
        "image_to_text_r1": 1.0, "image_to_text_r5": 1.0, "text_to_image_r1": 1.0, "text_to_image_r5": 1.0,
    }  # fmt: skip
    assert chance(151) == {"r1": pytest.approx(1 / 151), "r5": pytest.approx(5 / 151)}
    assert chance(3) == {"r1": pytest.approx(1 / 3), "r5": 1.0}
