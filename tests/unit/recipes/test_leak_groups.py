import itertools

import pytest
from hypothesis import given, strategies as st

from recipes.emoji_sources import EmojiForm
from recipes.leak_groups import NUM_FOLDS, UnionFind, is_held_out, leak_groups, split_bucket


def form(code: str, *, subcategory: str = "kind", category: str = "Objects", base: str | None = None) -> EmojiForm:
    return EmojiForm(code, base or code, "", category, subcategory, "", "1.0", f"{code}.png", None)


def closure(size: int, pairs: list[tuple[int, int]]) -> list[frozenset[int]]:
    """The sets by brute force: merge until nothing changes."""
    sets = [{item} for item in range(size)]
    for a, b in itertools.chain.from_iterable(itertools.repeat(pairs, size)):
        merged = sets[a] | sets[b]
        for item in merged:
            sets[item] = merged
    return [frozenset(members) for members in sets]


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=20))
    )
)
def test_union_find_equals_transitive_closure(case: tuple[int, list[tuple[int, int]]]) -> None:
    size, pairs = case
    sets = UnionFind(size)
    for a, b in pairs:
        sets.union(a, b)
    assert [sets.find(item) for item in range(size)] == [min(members) for members in closure(size, pairs)]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_what_shares_base_or_picture_is_in_one_group_and_nothing_else_is(facts: list[tuple[int, int, int]]) -> None:
    forms = [form(f"A{number}", base=f"B{base}") for number, (base, _, _) in enumerate(facts)]
    names = [f"name {number}" for number in range(len(facts))]
    pictures = [
        {n: bytes([fact[1]]) for n, fact in enumerate(facts)},
        {n: bytes([fact[2]]) for n, fact in enumerate(facts)},
    ]
    groups = leak_groups(forms, names, pictures)
    shared = [
        (a, b)
        for a, b in itertools.combinations(range(len(facts)), 2)
        if any(x == y for x, y in zip(facts[a], facts[b], strict=True))
    ]
    expected = closure(len(facts), shared)
    for a, b in itertools.combinations(range(len(facts)), 2):
        assert (groups[a] == groups[b]) == (expected[a] == expected[b])


@given(st.permutations(list(range(6))))
def test_the_partition_does_not_depend_on_the_order(order: list[int]) -> None:
    forms = [form(f"A{n}", base=f"B{n // 2}") for n in range(6)]
    names = [f"name {n}" for n in range(6)]
    groups = leak_groups([forms[n] for n in order], [names[n] for n in order], [])
    assert {frozenset(n for n, g in zip(order, groups, strict=True) if g == group) for group in groups} == {
        frozenset({0, 1}),
        frozenset({2, 3}),
        frozenset({4, 5}),
    }


PEOPLE = "People & Body"
CONCEPTS = [
    ("1F46E", "police officer", "1F46E-200D-2640-FE0F", "woman police officer", PEOPLE),
    ("1F9D1-200D-1F680", "astronaut", "1F468-200D-1F680", "man astronaut", PEOPLE),
    ("1F6B6", "person walking", "1F6B6-200D-27A1-FE0F", "person walking: facing right", PEOPLE),
    ("1F46C", "men holding hands", "1F46D", "women holding hands", PEOPLE),
    ("1F934", "prince", "1F478", "princess", PEOPLE),
    ("1F57A", "man dancing", "1F483", "woman dancing", PEOPLE),
    ("1F448", "backhand index pointing left", "1F446", "backhand index pointing up", PEOPLE),
    ("1F50D", "magnifying glass tilted left", "1F50E", "magnifying glass tilted right", "Objects"),
]


@pytest.mark.parametrize(("code_a", "name_a", "code_b", "name_b", "category"), CONCEPTS)
def test_forms_of_one_concept_are_one_group(code_a: str, name_a: str, code_b: str, name_b: str, category: str) -> None:
    forms = [form(code_a, category=category), form(code_b, category=category)]
    assert len(set(leak_groups(forms, [name_a, name_b], []))) == 1


@pytest.mark.parametrize(
    ("name_a", "name_b", "category"),
    [
        ("police officer", "astronaut", PEOPLE),
        ("flag: Norway", "flag: Denmark", "Flags"),
        ("keycap: #", "keycap: *", "Symbols"),
        ("man", "boy", PEOPLE),
        ("red circle", "blue circle", "Symbols"),
    ],
)
def test_other_concepts_stay_apart(name_a: str, name_b: str, category: str) -> None:
    forms = [form("A1", category=category), form("A2", category=category)]
    assert len(set(leak_groups(forms, [name_a, name_b], []))) == 2


def test_ten_seeds_are_a_cross_validation() -> None:
    names = [f"group {number}" for number in range(500)]
    for first_seed in (0, 10):
        folds = [{name for name in names if is_held_out(name, first_seed + fold)} for fold in range(NUM_FOLDS)]
        assert sum(len(fold) for fold in folds) == len(set.union(*folds)) == len(names)
        assert all(25 <= len(fold) <= 75 for fold in folds)
    assert any(is_held_out(name, 0) != is_held_out(name, 10) for name in names)
    assert all(is_held_out(name, split_bucket(name)) for name in names)
