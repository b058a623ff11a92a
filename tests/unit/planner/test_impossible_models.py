"""Architectures that cannot be, and files that hold none."""

from pathlib import Path
from typing import Any

import pytest

from planner.architectures import load
from planner.architectures.catalogue import known_names
from planner.errors import BadInputError, UnknownNameError
from planner.hardware import load_catalogue
from planner.layout import Layout
from planner.memory_verdict import _changes

_LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 4,
    "num_hidden_layers": 2, "intermediate_size": 1024, "vocab_size": 1000,
}  # fmt: skip
_MIXTRAL = {**_LLAMA, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}


@pytest.mark.parametrize(
    ("base", "changed", "told"),
    [
        (_MIXTRAL, {"num_experts_per_tok": 9}, "more experts than there are"),
        (_LLAMA, {"num_attention_heads": 7}, "num_attention_heads = 7 .*must divide hidden_size"),
        (_LLAMA, {"num_key_value_heads": 3}, "num_key_value_heads = 3 .*must divide num_attention_heads"),
        (_LLAMA, {"num_key_value_heads": 0}, "must be at least 1"),
        (_LLAMA, {"num_hidden_layers": 0}, "num_hidden_layers = 0"),
        (_LLAMA, {"num_attention_heads": 0}, "num_attention_heads = 0"),
        (_LLAMA, {"head_dim": 0}, "head_dim = 0"),
        (_LLAMA, {"num_hidden_layers": 10**9}, "num_hidden_layers = 1000000000 .*must be at most 10,000"),
        (_LLAMA, {"layer_types": ["full_attention"]}, "has 1 kinds, .*num_hidden_layers = 2"),
        (_LLAMA, {"tie_word_embeddings": "false"}, "tie_word_embeddings = 'false' .*must be true or false"),
        (_MIXTRAL, {"num_experts_per_tok": 0}, "num_experts_per_tok = 0"),
        (_LLAMA, {"model_type": "qwen3_moe", "decoder_sparse_step": 0}, "decoder_sparse_step = 0"),
        ({"model_type": "llama4"}, {"text_config": "llama"}, "text_config = 'llama' .*must be an object"),
        ({"model_type": "clip"}, {"text_config": [1]}, "text_config = .*must be an object"),
        ({"model_type": "vit", "hidden_size": 64}, {"patch_size": 0}, "patch_size = 0"),
        ({"model_type": "gpt2", "vocab_size": 9}, {"n_embd": 10, "n_head": 3, "n_layer": 1}, "n_head = 3"),
    ],
)
def test_what_cannot_be(base: dict[str, Any], changed: dict[str, Any], told: str) -> None:
    load(_LLAMA)
    with pytest.raises(BadInputError, match=told):
        load({**base, **changed})


@pytest.mark.parametrize("name", known_names())
def test_what_is_known_can_be(name: str) -> None:
    assert load(name).name


def test_files_that_nobody_foresaw(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(BadInputError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "machines.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(BadInputError, match="no text in UTF-8"):
        load_catalogue(tmp_path / "machines.yaml")
    (tmp_path / "prices.csv").write_text("instance,usd_per_hour\np5," + "9" * 200_000)
    with pytest.raises(BadInputError, match="no CSV"):
        load_catalogue(tmp_path / "prices.csv")


def test_few_names_are_told_of_many() -> None:
    with pytest.raises(UnknownNameError) as told:
        load("zzzzzzzz")
    assert str(told.value).count(",") < 12


def test_a_huge_micro_batch_has_few_changes() -> None:
    found = [changed for changed, _ in _changes(Layout(dp=8, micro_batch=1_000_000_000))]
    sizes = [changed.micro_batch for changed in found if changed.micro_batch != 1_000_000_000]
    assert sizes[0] == 500_000_000
    assert sizes[-1] == 1
    assert len(sizes) <= 32
