"""Which entities must be held out together, and which are.

Splitting by entity is not enough: forms of one concept (skin tones, genders, directions) share words and picture, and
some entities share the picture itself (the flags of Norway and of Svalbard). A *leak group* is a connected component
of "shares something that would leak", and a split keeps or holds out whole groups.
"""

import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence

from recipes.emoji_sources import FEMALE_SIGN, MALE_SIGN, SKIN_TONES, EmojiForm

NUM_FOLDS = 10
_RIGHT_ARROW = "27A1"
_SILENT_POINTS = frozenset({"FE0F", "200D", FEMALE_SIGN, MALE_SIGN, _RIGHT_ARROW, *SKIN_TONES})
"""Code points that only join, or that choose presentation, gender, direction or skin."""
_PERSON, _CHILD = "1F9D1", "1F9D2"
_NEUTRAL_POINTS = {"1F468": _PERSON, "1F469": _PERSON, "1F466": _CHILD, "1F467": _CHILD}
_NEUTRAL_WORDS = {
    **dict.fromkeys(("man", "woman", "men", "women", "people"), "person"),
    **dict.fromkeys(("boy", "girl"), "child"),
    "old": "older",
}
_DIRECTION_WORDS = frozenset(
    {"left", "right", "up", "down", "leftwards", "rightwards", "upwards", "downwards", "facing"}
)
_PEOPLE = "People & Body"
_ONE_CONCEPT = (
    ("1F385", "1F936", "1F9D1-200D-1F384"),  # Santa, Mrs. and Mx Claus
    ("1F934", "1F478", "1FAC5"),  # prince, princess, person with crown
    ("1F46B", "1F46C", "1F46D", "1F9D1-200D-1F91D-200D-1F9D1"),  # two people holding hands
    (
        "1F46A",
        "1F468-200D-1F469-200D-1F466",
        "1F9D1-200D-1F9D1-200D-1F9D2",
    ),  # family, drawn and in silhouette
)
"""Forms of one concept whose names and codes do not show it."""


class UnionFind:
    """Disjoint sets of the integers below `size`; the representative of a set is its smallest member."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        """Return the smallest member of the set of `item`."""
        root = item
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[item] != root:
            self._parent[item], item = root, self._parent[item]
        return root

    def union(self, a: int, b: int) -> None:
        """Make one set of the sets of `a` and `b`."""
        low, high = sorted((self.find(a), self.find(b)))
        self._parent[high] = low


def leak_groups(
    forms: Sequence[EmojiForm], english_names: Sequence[str], pictures: Iterable[Mapping[int, bytes]]
) -> tuple[str, ...]:
    """Return the leak group of each form, named by the base of the group's first form.

    Forms are in one group that share base, concept, or (in any one vendor's `pictures`, by index of the form) a
    picture, directly or through others.
    """
    sets = UnionFind(len(forms))
    number = {form.code: index for index, form in enumerate(forms)}
    by_key: dict[Hashable, int] = {}
    for index, (form, name) in enumerate(zip(forms, english_names, strict=True)):
        for key in _concept_keys(form, name):
            sets.union(index, by_key.setdefault(key, index))
        if form.obsoletes in number:
            sets.union(index, number[form.obsoletes])
    for codes in _ONE_CONCEPT:
        members = [number[code] for code in codes if code in number]
        for member in members:
            sets.union(members[0], member)
    for vendor_pictures in pictures:
        first_with: dict[bytes, int] = {}
        for index, picture in vendor_pictures.items():
            sets.union(index, first_with.setdefault(picture, index))
    return tuple(forms[sets.find(index)].base for index in range(len(forms)))


def split_bucket(group: str, shuffle: int = 0) -> int:
    """Return the fold (0 to 9) of a leak group in one of many ways to deal the groups out."""
    digest = hashlib.sha256(f"{shuffle}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % NUM_FOLDS


def is_held_out(group: str, split_seed: int) -> bool:
    """Whether a tenth of the groups that `split_seed` picks contains `group`.

    Seeds 0 to 9 hold out the ten folds of one partition, 10 to 19 those of another, and so on: ten seeds in a row,
    from a multiple of ten, are a cross-validation.
    """
    shuffle, fold = divmod(split_seed, NUM_FOLDS)
    return split_bucket(group, shuffle) == fold


def _concept_keys(form: EmojiForm, english_name: str) -> Iterable[Hashable]:
    yield "base", form.base
    points = [_NEUTRAL_POINTS.get(point, point) for point in form.base.split("-") if point not in _SILENT_POINTS]
    if points:
        yield "points", tuple(points)
    words = _concept_words(form, english_name)
    if words:
        yield "words", form.subcategory, words


def _concept_words(form: EmojiForm, english_name: str) -> tuple[str, ...]:
    """Return the name without what tells skin, gender or direction: `woman running: facing right` → person running."""
    name = english_name.lower()
    if form.category == _PEOPLE:
        name = name.partition(":")[0]
    words = [_NEUTRAL_WORDS.get(word, word) for word in re.findall(r"[\w#*]+", name)]
    return tuple(word for word in words if word not in _DIRECTION_WORDS)
