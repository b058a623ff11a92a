"""The strict conversion: exact round trips over everything that the sections can hold, and no guessing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from configs.allowed import allowed_values
from configs.convert import from_document
from configs.documents import flatten, to_document, with_defaults
from configs.errors import SchemaError
from configs.hints import TARGET_KEY, alternatives, field_at, fields_of, is_optional, is_section, known_paths
from configs.schema import RunSpec
from recipes.config import CatalogueTextConfig, CustomConfig, LmModelConfig, TargetConfig

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in {"kind", TARGET_KEY})
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TARGETS = st.builds(
    TargetConfig,
    target=st.lists(NAMES, min_size=2, max_size=4).map(".".join),
    arguments=st.dictionaries(NAMES, JSON, max_size=3),
)


def values_of(hint: Any, metadata: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    members = [one_of(member, metadata) for member in alternatives(hint)]
    return st.one_of(*members, *([st.none()] if is_optional(hint) else []))


def one_of(hint: Any, metadata: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    least, most = metadata.get("min"), metadata.get("max")
    if hint is TargetConfig:
        return TARGETS
    if is_section(hint):
        keys = {key.name: values_of(key.hint, key.metadata) for key in fields_of(hint)}
        return st.fixed_dictionaries(keys).map(lambda values: hint(**consistent(hint, values)))
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return lists_of(get_args(hint), metadata)
    if get_origin(hint) is Mapping:
        return st.dictionaries(NAMES, JSON, max_size=3)
    return {
        bool: st.booleans(),
        int: st.integers(least if least is not None else -(2**70), most),
        float: st.floats(least, most, allow_nan=False, allow_infinity=False),
        str: WORDS,
    }[hint]


def consistent(section: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return values that the section takes together: what its own check says of several keys."""
    if section is LmModelConfig:
        heads = values["heads"]
        return {**values, "width": 2 * heads * (4 + values["width"] % 5)}
    if section is CatalogueTextConfig and values["encoding"] == "bytes":
        return {**values, "vocabulary": 256}
    return values


def lists_of(items: tuple[Any, ...], metadata: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if items[-1] is Ellipsis:
        return st.lists(one_of(items[0], metadata), min_size=metadata.get("min_length", 0), max_size=3).map(tuple)
    return st.tuples(*(one_of(item, metadata) for item in items))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(values_of(RunSpec, {}))
def test_round_trip_is_exact_for_everything_the_sections_can_hold(spec: RunSpec) -> None:
    document = to_document(spec)
    assert from_document(RunSpec, document) == spec
    through_text = json.loads(json.dumps(document))
    assert through_text == document
    assert to_document(from_document(RunSpec, through_text)) == document
    assert with_defaults(RunSpec, document) == document


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(values_of(RunSpec, {}), st.data())
def test_an_unknown_key_anywhere_is_refused_with_its_path(spec: RunSpec, data: st.DataObject) -> None:
    document = to_document(spec)
    path = data.draw(st.sampled_from(["run", "optim", "engine", "checkpoint", "cluster", "cluster.retries"]))
    place = document
    for name in path.split("."):
        place = place[name]
    place["zz_unknown"] = 1
    with pytest.raises(SchemaError) as caught:
        from_document(RunSpec, document)
    assert [problem.path for problem in caught.value.problems] == [f"{path}.zz_unknown"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from([key.name for key in fields_of(RunSpec)]) | NAMES, JSON, max_size=8))
def test_any_document_is_taken_or_refused_by_name(document: dict[str, Any]) -> None:
    try:
        spec = from_document(RunSpec, with_defaults(RunSpec, document))
    except SchemaError as error:
        assert error.problems  # noqa: PT017 - either outcome is right, whatever the document
    else:
        assert from_document(RunSpec, to_document(spec)) == spec


def test_every_key_says_what_it_allows() -> None:
    for path in known_paths(RunSpec):
        key = field_at(RunSpec, path)
        assert key is not None
        assert allowed_values(key.hint, key.metadata)


def test_every_default_is_allowed() -> None:
    required = {"recipe": {"kind": "custom"}, "model": {TARGET_KEY: "a.B"}, "data": {TARGET_KEY: "a.B"}}
    for name, kind in [("recipe", "catalogue_clip"), ("model", "clip"), ("data", "catalogue")]:
        document = with_defaults(RunSpec, {**required, name: {"kind": kind}})
        assert to_document(from_document(RunSpec, document)) == document


def test_documents_share_nothing_with_sections() -> None:
    document = to_document(RunSpec(recipe=CustomConfig(), model=OWN, data=OWN))
    document["model"]["x"]["y"] = 9
    assert OWN.arguments == {"x": {"y": 1}}


@dataclass(frozen=True, kw_only=True)
class Checked:
    low: int = field(default=0, metadata={"max": 9})
    high: float = 1.0
    either: Literal["auto"] | int = "auto"

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low = {self.low} must not be above high = {self.high}")


@dataclass(frozen=True, kw_only=True)
class Holder:
    part: Checked = field(default_factory=Checked)


def test_a_section_that_checks_itself_is_quoted_with_its_path() -> None:
    with pytest.raises(SchemaError, match=r"part: low = 3 must not be above high = 1\.0"):
        from_document(Holder, {"part": {"low": 3}})


def test_a_choice_or_a_number() -> None:
    assert from_document(Checked, {"either": "auto"}).either == "auto"
    assert from_document(Checked, {"either": 3}).either == 3
    with pytest.raises(SchemaError, match="must be auto or a whole number"):
        from_document(Checked, {"either": "three"})


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_numbers_beyond_all_bounds(value: int) -> None:
    with pytest.raises(SchemaError, match="high"):
        from_document(Checked, {"high": value})


def test_flatten_keeps_empty_mappings_and_lists() -> None:
    assert dict(flatten({"a": {"b": {}, "c": [1]}, "d": 2})) == {"a.b": {}, "a.c": [1], "d": 2}


OWN = TargetConfig(target="a.B", arguments={"x": {"y": 1}})
