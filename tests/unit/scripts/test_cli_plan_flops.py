"""`plan flops` and `plan verify`, called in a folder of their own."""

import json
from pathlib import Path

import pytest
from fixtures_cli import Ostinato

from planner.verification.check import REFERENCE_DATA, Check
from scripts.cli.exit_codes import ExitCode

FLOPS = ["plan", "flops"]
VERIFY = ["plan", "verify"]


def test_a_known_model_for_people(ostinato: Ostinato) -> None:
    said = ostinato(*FLOPS, "llama3.1-405b", "--seq", "8192", "--tokens", "15.6T")
    assert said.code == ExitCode.OK
    for words in ("405,853,388,800", "21,507,478,231,449,600", "causal attention full, embeddings in", "15.6T tokens"):
        assert words in said.out


@pytest.mark.parametrize("words", [["--json"], ["-o", "json"]])
def test_one_json_value_for_programs(ostinato: Ostinato, words: list[str]) -> None:
    value = ostinato(*FLOPS, "gpt2", "--batch", "4", "--explain", *words).value
    assert value["counting"] == {"convention": "model", "causal": "full", "embeddings": "in", "recompute": "none"}
    assert value["shape"]["samples"] == 4
    assert value["total"] == value["forward"] + value["backward"] == 3 * value["forward"]
    assert sum(share["forward"] for share in value["shares"]) == value["forward"]
    assert {"block", "repeat", "kind", "forward", "backward", "parameters"} == set(value["shares"][0])


def test_conventions(ostinato: Ostinato) -> None:
    counts = {
        name: ostinato(*FLOPS, "gpt3-175b", *words, "--json").value["total"]
        for name, words in {
            "model": [],
            "half": ["--causal", "half"],
            "6nd": ["--convention", "6nd"],
            "6nd out": ["--convention", "6nd", "--embeddings", "out"],
            "hardware": ["--convention", "hardware", "--recompute", "full"],
        }.items()
    }
    assert counts["6nd out"] < counts["6nd"] < counts["half"] < counts["model"] < counts["hardware"]


def test_tokens_from_budgets_and_back(ostinato: Ostinato) -> None:
    six = ["--convention", "6nd"]
    spent = ostinato(*FLOPS, "llama3.1-405b", *six, "--tokens", "15.6T", "--json").value["training"]["flops"]
    assert f"{spent:.2e}" == "3.80e+25"
    bought = ostinato(*FLOPS, "llama3.1-405b", *six, "--flops", str(spent), "--json").value["budget"]["tokens"]
    assert bought == pytest.approx(15.6e12, rel=1e-12)


def test_adapters_and_frozen_parts(ostinato: Ostinato) -> None:
    whole = ostinato(*FLOPS, "llama3-8b", "--json").value
    adapted = ostinato(*FLOPS, "llama3-8b", "--lora-rank", "16", "--lora-target", "*q_proj", "--json").value
    assert adapted["trainable_parameters"] == 32 * 16 * (4096 + 4096)
    assert whole["backward"] / 2 < adapted["backward"] < 2 / 3 * whole["backward"]
    patterns = ["--freeze", "model.embed_tokens", "--freeze", "model.layers.*"]
    frozen = ostinato(*FLOPS, "llama3-8b", *patterns, "--json").value
    assert frozen["trainable_parameters"] == 128256 * 4096 + 4096


def test_a_recipe(ostinato: Ostinato) -> None:
    value = ostinato(*FLOPS, "recipe=catalogue_clip", "model=clip_bytes", "--json").value
    assert (value["unit"], value["model"]) == ("sample", "clip_bytes")
    more = ostinato(*FLOPS, "recipe=catalogue_clip", "model=clip_bytes", "data.texts_per_image=8", "--json").value
    assert more["forward"] > value["forward"]


def test_a_file(ostinato: Ostinato) -> None:
    config = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 32}
    Path("config.json").write_text(json.dumps(config), encoding="utf-8")
    assert ostinato(*FLOPS, "config.json", "--json").value["units"] == 32


def test_pictures_are_counted_by_the_sample(ostinato: Ostinato) -> None:
    said = ostinato(*FLOPS, "stable-diffusion-1.5", "--image", "32", "--tokens", "1M")
    assert "77 tokens, 32 x 32 pixels" in said.out
    assert "1M samples" in said.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gtp2"], "did you mean gpt2"),
        (["nowhere.json"], "nowhere.json: cannot be read"),
        (["gpt2", "bert-base"], "name one model"),
        (["gpt2", "--convention", "7nd"], "--convention 7nd: must be one of model, hardware, 6nd"),
        (["gpt2", "--recompute", "full"], "only the hardware convention"),
        (["gpt2", "--tokens", "many"], "--tokens = many: must be a number"),
        (["gpt2", "--tokens", "-5"], "--tokens = -5"),
        (["gpt2", "--lora-rank", "0"], "rank = 0"),
        (["gpt2", "--lora-target", "*"], "--lora-target without --lora-rank"),
        (["gpt2", "--convention", "6nd", "--lora-rank", "4"], "every weight is trained"),
        (["vit-b-16", "--convention", "6nd"], "decoders or encoders of text"),
        (["vit-b-16", "--image", "8"], "smaller than one patch"),
        (["recipe=catalogue_clip", "model.text_tower=words"], "text_tower"),
        (["gpt2", "--freeze", "*", "--flops", "1e20", "--embeddings", "out"], ""),
    ],
)
def test_what_cannot_be_meant(ostinato: Ostinato, words: list[str], said: str) -> None:
    ended = ostinato(*FLOPS, *words)
    assert ended.code == (ExitCode.OK if not said else ExitCode.BAD_INPUT)
    assert said in ended.err


def test_verify_shows_each_number_beside_its_source(ostinato: Ostinato) -> None:
    said = ostinato(*VERIFY, "chinchilla_tables")
    assert said.code == ExitCode.OK
    for words in ("chinchilla_tables: 13 of 15 met", "73M: FLOPs / 6ND", "known miss", "1,143M"):
        assert words in said.out
    value = ostinato(*VERIFY, "megatron_flops", "--json").value
    assert (value["failed"], value["suites"]["megatron_flops"]["met"]) == (False, 24)


def test_verify_skips_what_has_no_data(ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REFERENCE_DATA, raising=False)
    said = ostinato(*VERIFY, "openclip_profile")
    assert said.code == ExitCode.OK
    assert "openclip_profile: skipped" in said.out
    value = ostinato(*VERIFY, "openclip_profile", "--json").value
    assert REFERENCE_DATA in value["suites"]["openclip_profile"]["skipped"]


@pytest.mark.parametrize("note", ["", "their table has a misprint"])
def test_verify_fails_where_a_miss_is_not_known(
    ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    missed = Check("one", 1.0, 2.0, is_met=False, tolerance="equal", source="a paper", note=note)
    monkeypatch.setattr("planner.verification.flops_tables.megatron_suite", lambda: [missed])
    said = ostinato(*VERIFY, "megatron_flops")
    assert said.code == ExitCode.FAILED
    assert (note or "it was met until now") in said.out


def test_verify_of_no_such_suite(ostinato: Ostinato) -> None:
    said = ostinato(*VERIFY, "goat")
    assert said.code == ExitCode.BAD_INPUT
    assert "must be one of" in said.err
