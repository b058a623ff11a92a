"""How pictures look: round numbers, letters as letters, nothing of who drew them, light or dark."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from planner.pictures import DIM, INK, drawing, logarithmic, name_points, show_flops, show_usd


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "folder" / "one.svg"
    with drawing(path, "A title", "data 123") as (axis,):
        axis.plot([1e18, 1e22], [1.0, 2.0], color=INK)
        logarithmic(axis, "x", show_flops)
    return path.read_text()


def test_letters_are_letters_and_numbers_round(picture: str) -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    assert {"A title", "data 123", "1e18", "1e20", "1e22"} <= set(texts)


def test_greys_follow_the_light(picture: str) -> None:
    assert "@media (prefers-color-scheme: dark)" in picture
    assert "stroke: var(--c0)" in picture
    assert INK not in picture.split("</style>", 1)[1]
    assert DIM not in picture.split("</style>", 1)[1]


def test_nothing_is_said_of_who_drew_it_and_the_same_is_drawn_again(picture: str, tmp_path: Path) -> None:
    assert picture.startswith("<svg ")
    assert not re.search(r"matplotlib\.org|purl\.org|\d\d:\d\d:\d\d", picture)
    with drawing(tmp_path / "two.svg", "A title", "data 123") as (axis,):
        axis.plot([1e18, 1e22], [1.0, 2.0], color=INK)
        logarithmic(axis, "x", show_flops)
    assert (tmp_path / "two.svg").read_text() == picture


def test_a_png_is_a_png(tmp_path: Path) -> None:
    with drawing(tmp_path / "one.png", "A title", panels=2) as axes:
        assert len(axes) == 2
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_names_of_near_points_do_not_touch(tmp_path: Path) -> None:
    with drawing(tmp_path / "one.png", "A title") as (axis,):
        axis.set(xlim=(0, 10), ylim=(0, 10))
        name_points(axis, [(5.0, 5.0 + 0.01 * at, f"name {at}") for at in range(4)])
        axis.figure.draw_without_rendering()
        lines = sorted(text.get_window_extent().y0 for text in axis.texts)
    assert [text.get_text() for text in axis.texts] == [f"name {at}" for at in (3, 2, 1, 0)]
    assert all(above - below > 9.0 for below, above in pairwise(lines))


@pytest.mark.parametrize(
    ("shown", "text"),
    [(show_flops(3e19), "3e19"), (show_flops(2.5e8), "2.5e8"), (show_usd(1e6), "$1M"), (show_usd(0.5), "$0.5")],
)
def test_numbers_are_short(shown: str, text: str) -> None:
    assert shown == text
