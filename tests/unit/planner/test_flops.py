"""FLOPs by convention, against formulas written out by hand, and amounts and names as people write them."""

import json
from pathlib import Path

import pytest

from planner.architectures import BatchShape, Lora, Tuning, known_config, known_names, load
from planner.architectures.huggingface import known_kinds, read_config
from planner.errors import BadInputError, UnknownNameError
from planner.flops import Causal, Convention, Counting, Embeddings, flops_of, shares_of
from planner.layout import Recompute
from planner.quantities import read_bytes, read_count, read_duration_s, read_usd, show_count

_TINY = {
    "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 16, "vocab_size": 10, "max_position_embeddings": 32, "tie_word_embeddings": False,
}  # fmt: skip
_LAYER = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16
_SCORES = 2 * 2 * 32 * 32 * 8
_HEAD = 2 * 32 * 8 * 10


def test_model_flops_are_three_forwards() -> None:
    counted = flops_of(load(_TINY))
    assert counted.forward == 3 * (2 * 32 * _LAYER + _SCORES) + _HEAD
    assert counted.total == 3 * counted.forward
    assert counted.unit == "token"
    assert counted.units == 32


def test_causal_attention_may_count_by_half() -> None:
    counted = flops_of(load(_TINY), None, Counting(causal=Causal.HALF))
    assert counted.forward == 3 * (2 * 32 * _LAYER + _SCORES // 2) + _HEAD


def test_a_window_is_counted_by_the_pairs_within() -> None:
    windowed = {**_TINY, "model_type": "mistral", "sliding_window": 8}
    assert flops_of(load(windowed)).forward == flops_of(load(_TINY)).forward  # in full, as torch computes it
    half = flops_of(load(windowed), None, Counting(causal=Causal.HALF))
    assert half.forward == 3 * (2 * 32 * _LAYER + _SCORES * (2 * 8 * 32 - 64) // (2 * 32 * 32)) + _HEAD


def test_embeddings_may_be_left_out() -> None:
    counted = flops_of(load(_TINY), None, Counting(embeddings=Embeddings.OUT))
    assert counted.forward == 3 * (2 * 32 * _LAYER + _SCORES)
    assert counted.parameters - counted.non_embedding_parameters == 2 * 8 * 10


@pytest.mark.parametrize(
    ("recompute", "again"),
    [(Recompute.NONE, 0), (Recompute.SELECTIVE, 3 * _SCORES), (Recompute.FULL, 3 * (2 * 32 * _LAYER + _SCORES))],
)
def test_hardware_flops_count_what_is_computed_again(recompute: Recompute, again: int) -> None:
    counted = flops_of(load(_TINY), None, Counting(convention=Convention.HARDWARE, recompute=recompute))
    assert counted.recomputed == again
    assert counted.total == 3 * counted.forward + again


def test_trap_recompute_is_no_model_flops() -> None:
    with pytest.raises(BadInputError, match="hardware"):
        Counting(recompute=Recompute.FULL)


def test_6nd() -> None:
    every = flops_of(load(_TINY), None, Counting(convention=Convention.SIX_ND))
    assert every.total == 6 * every.parameters * 32
    without = flops_of(load(_TINY), None, Counting(convention=Convention.SIX_ND, embeddings=Embeddings.OUT))
    assert without.total == 6 * every.non_embedding_parameters * 32


def test_6nd_of_experts_counts_those_that_a_token_uses() -> None:
    counted = flops_of(load("mixtral-8x7b"), BatchShape(1, 128), Counting(convention=Convention.SIX_ND))
    assert counted.total == 6 * counted.active_parameters * 128
    assert counted.active_parameters < counted.parameters / 3


@pytest.mark.parametrize("tuning", [Tuning(lora=Lora(2)), Tuning(("model.embed_tokens",))])
def test_6nd_of_what_is_partly_frozen_is_refused(tuning: Tuning) -> None:
    with pytest.raises(BadInputError, match="trained"):
        flops_of(load(_TINY).tuned(tuning), None, Counting(convention=Convention.SIX_ND))


def test_nothing_is_differentiated_before_the_first_trained_weight() -> None:
    counted = flops_of(load(_TINY).tuned(Tuning(("model.*",))))
    assert counted.backward == _HEAD  # the gradient of the head's weights alone: nobody asks for that of its input
    counted = flops_of(load(_TINY).tuned(Tuning(("model.embed_tokens", "model.layers.[01]", "model.norm", "lm_head"))))
    assert counted.backward == _HEAD + 2 * (2 * 32 * _LAYER + _SCORES)  # the last layer, through the frozen head


def test_gradients_pass_through_frozen_weights_to_adapters() -> None:
    everything, adapted = flops_of(load(_TINY)), flops_of(load(_TINY).tuned(Tuning(lora=Lora(1, ("*q_proj",)))))
    adapters = 2 * 32 * (8 * 1 + 1 * 8)
    assert adapted.forward == everything.forward + 3 * adapters
    assert adapted.trainable_parameters == 3 * 16
    assert adapted.parameters == everything.parameters + 3 * 16
    later = 2 * 32 * _LAYER + 2 * _SCORES + 2 * adapters
    # Nothing before the first adapter has a gradient: no keys, no values, no input of A.
    first = 2 * 32 * (8 * 8 + 3 * 8 * 16) + _SCORES + 2 * 32 * 8 + 2 * (2 * 32 * 8)
    assert adapted.backward == first + 2 * later + _HEAD


def test_tokens_from_budgets_and_budgets_from_tokens() -> None:
    counted = flops_of(load(_TINY))
    assert counted.of_units(32) == counted.total
    assert counted.units_of(counted.total * 1000) == 32_000
    assert counted.units_of(counted.of_units(7_777_777)) in {7_777_776, 7_777_777}


def test_shares_add_up() -> None:
    counted, shares = flops_of(load("deepseek-v3")), shares_of(load("deepseek-v3"))
    assert sum(share.forward for share in shares) == counted.forward
    assert sum(share.backward for share in shares) == counted.backward
    assert sum(share.parameters for share in shares) == counted.parameters


def test_our_language_model_is_a_llama_with_head_norms() -> None:
    section = {"kind": "lm", "vocabulary": 256, "width": 48, "layers": 3, "heads": 4, "sequence_length": 64}
    ours = flops_of(load(section))
    config = {
        **_TINY, "model_type": "qwen3", "hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 4,
        "intermediate_size": 128, "vocab_size": 256, "max_position_embeddings": 64, "tie_word_embeddings": True,
    }  # fmt: skip
    theirs = flops_of(load(config))
    assert (ours.forward, ours.backward, ours.parameters) == (theirs.forward, theirs.backward, theirs.parameters)


@pytest.mark.parametrize("name", known_names())
def test_every_known_model_is_counted(name: str) -> None:
    counted = flops_of(load(name))
    assert counted.backward == pytest.approx(2 * counted.forward, rel=0.03)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llama2-7b", 6_738_415_616), ("llama3.1-405b", 405_853_388_800), ("gpt2", 124_439_808),
        ("mixtral-8x7b", 46_702_792_704), ("deepseek-v3", 671_026_404_352), ("bert-base", 109_514_298),
        ("vit-b-16", 86_567_656), ("clip-vit-b-32", 151_277_313), ("stable-diffusion-1.5", 859_520_964),
        ("stable-diffusion-xl", 2_567_463_684), ("pythia-12b", 11_846_072_320), ("mamba-130m", 129_135_360),
    ],
)  # fmt: skip
def test_known_numbers_of_parameters(name: str, parameters: int) -> None:
    assert load(name).parameters() == parameters


def test_an_unknown_name_comes_with_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"llama3\.1-405b"):
        load("llama-3.1-405b")


def test_a_config_is_read_from_a_file_or_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(_TINY), encoding="utf-8")
    for path in (tmp_path, tmp_path / "config.json"):
        assert flops_of(load(path)).forward == flops_of(load(_TINY)).forward


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"hidden_size": 8}, "model_type"),
        ({"model_type": "perceiver"}, "perceiver"),
        ({**_TINY, "hidden_size": None}, "hidden_size is missing"),
        ({**_TINY, "vocab_size": -1}, "vocab_size = -1"),
        ({**_TINY, "vocab_size": "many"}, "vocab_size = 'many'"),
        ({"kind": "clip", "text_tower": "words"}, "words"),
        ({"_class_name": "UNet2DConditionModel", "down_block_types": ["KDownBlock2D"] * 4}, "KDownBlock2D"),
    ],
)
def test_configurations_that_cannot_be_meant(config: dict[str, object], words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        load(config)


def test_a_file_that_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("[1]", "{", ""):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BadInputError, match=r"config\.json"):
            load(path)
    with pytest.raises(BadInputError, match=r"nowhere\.json"):
        load("nowhere.json")


@pytest.mark.parametrize("shape", [BatchShape(0), BatchShape(1, 0), BatchShape(1, image_size=(8, 8))])
def test_shapes_that_cannot_be_taken(shape: BatchShape) -> None:
    with pytest.raises(BadInputError):
        flops_of(load("clip-vit-b-32"), shape)


def test_every_kind_that_can_be_read_has_a_known_model_or_a_test() -> None:
    kinds = {known_config(name).get("model_type") or known_config(name)["_class_name"] for name in known_names()}
    assert set(known_kinds()) - kinds == {"olmo3"}
    olmo3, olmo2 = (read_config({**_TINY, "model_type": kind}) for kind in ("olmo3", "olmo2"))
    assert olmo3.parameters() == olmo2.parameters()


@pytest.mark.parametrize(
    ("text", "value"),
    [("15T", 15 * 10**12), ("1e24", 10**24), ("1.7B", 1_700_000_000), ("300_000", 300_000), ("2,048", 2048)],
)
def test_counts(text: str, value: int) -> None:
    assert read_count(text) == value


@pytest.mark.parametrize("text", ["-3", "", "15Q", "nan", "inf", "0", "0.2", "1e99", "T", "1 2"])
def test_counts_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(BadInputError, match="tokens = "):
        read_count(text, "tokens")


def test_durations_money_and_bytes() -> None:
    assert [read_duration_s(text) for text in ("30d", "6h", "45min", "1.5s")] == [2_592_000, 21_600, 2_700, 1.5]
    assert [read_usd(text) for text in ("2000usd", "$2000", "1.5M USD", "1e6usd")] == [2000, 2000, 1.5e6, 1e6]
    assert [read_bytes(text) for text in ("80GiB", "80GB", "1b")] == [80 * 2**30, 80 * 10**9, 1]
    assert [show_count(value) for value in (405_853_388_800, 15e12, 3.8e25, 12, 1536)] == [
        "405.9B", "15T", "3.8e+25", "12", "1.536k",
    ]  # fmt: skip
    for read in (read_duration_s, read_usd, read_bytes):
        with pytest.raises(BadInputError):
            read("soon")
