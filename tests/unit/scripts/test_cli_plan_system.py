"""`plan memory`, `plan time` and `plan cost`, called in a folder of their own."""

import json
from pathlib import Path

import pytest
from fixtures_cli import Ostinato

from scripts.cli.exit_codes import ExitCode, PlanExitCode

MODEL = ["llama3.1-8b", "--hw", "p5", "--gpus", "8", "--zero", "3"]
FITS = [*MODEL, "--recompute", "full"]


def test_a_layout_that_fits(ostinato: Ostinato) -> None:
    said = ostinato("plan", "memory", *FITS)
    assert said.code == ExitCode.OK
    for words in ("fits", "GiB left", "activations", "margins", "p5.48xlarge", "recompute full"):
        assert words in said.out


def test_one_that_does_not_names_the_nearest_that_does(ostinato: Ostinato) -> None:
    said = ostinato("plan", "memory", "llama3.1-70b", "--gpus", "64", "--zero", "3", "--micro-batch", "2", "--json")
    assert said.code == PlanExitCode.DOES_NOT_FIT
    assert not said.value["fits"]
    assert said.value["left_bytes"] < 0
    assert said.value["nearest"]["total_bytes"] <= said.value["capacity_bytes"]
    assert sum(said.value["parts_bytes"].values()) == pytest.approx(said.value["total_bytes"])


@pytest.mark.parametrize("words", [["--json"], ["-o", "json"]])
def test_time_in_json(ostinato: Ostinato, words: list[str]) -> None:
    value = ostinato("plan", "time", *FITS, "--tokens", "100B", *words).value
    assert value["run"]["steps"] == round(100e9 / (8 * 8192))
    assert value["run"]["seconds"] == pytest.approx(value["run"]["steps"] * value["step_s"])
    assert value["step_interval_s"][0] < value["step_s"] < value["step_interval_s"][1]
    assert "measurements on h100-80gb" in value["provenance"]


def test_the_end_of_a_live_run(ostinato: Ostinato) -> None:
    Path("steps.jsonl").write_text("".join(json.dumps({"step": at, "step_s": 2.0 + at % 3}) + "\n" for at in range(60)))
    value = ostinato("plan", "time", *FITS, "--seq", "2048", "--steps", "6000", "--log", "steps.jsonl", "--json").value
    assert value["live"]["seconds"] == pytest.approx(6000 * 3.0, rel=0.01)
    assert value["live"]["interval_s"][0] <= 18_000 <= value["live"]["interval_s"][1]


def test_a_price_is_never_shown_without_its_day(ostinato: Ostinato) -> None:
    said = ostinato("plan", "cost", *FITS, "--tokens", "1B")
    assert said.code == ExitCode.OK
    for words in ("as of 2026-11-09", "$55.04/h", "in all", "not priced"):
        assert words in said.out


def test_several_machines_beside_each_other(ostinato: Ostinato) -> None:
    said = ostinato("plan", "cost", *FITS, "--tokens", "1B", "--compare", "p5,p4de,trn1,trn2", "--json")
    offers = {offer["instance"]: offer for offer in said.value["offers"]}
    assert set(offers) == {"p5.48xlarge", "p4de.24xlarge", "trn1.32xlarge", "trn2.48xlarge"}
    assert offers["trn2.48xlarge"]["cost"] is None
    assert "conflict" in offers["trn2.48xlarge"]["note"]
    assert "nothing was measured on trn1" in offers["trn1.32xlarge"]["provenance"]
    assert all(offer["price"]["as_of"] for offer in offers.values() if offer["price"])
    table = ostinato("plan", "cost", *FITS, "--tokens", "1B", "--compare", "p5,trn1")
    assert "time indicative" in table.out


def test_spot_with_interruptions(ostinato: Ostinato) -> None:
    words = ["--spot", "--price", "20.5@2026-11-01", "--interruptions", "0.01", "--checkpoint-s", "5"]
    words += ["--storage-price", "0.023@2026-11-01"]
    (offer,) = ostinato("plan", "cost", *FITS, "--tokens", "1T", *words, "--json").value["offers"]
    assert offer["price"]["terms"] == "spot"
    assert offer["cost"]["wall_s"] > offer["cost"]["productive_s"]
    assert offer["cost"]["storage_usd"] > 0.0


def test_pictures(ostinato: Ostinato) -> None:
    pytest.importorskip("matplotlib")
    for command, more in (("memory", []), ("time", []), ("cost", ["--steps", "9", "--compare", "p5,p4de"])):
        said = ostinato("plan", command, *FITS, *more, "--plot", "pictures")
        assert said.code == ExitCode.OK
        picture = Path("pictures", f"{command}.png")
        assert f"picture: {picture}" in said.out
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["memory", "vit-b-16", "--seq", "128"], "takes no texts"),
        (["memory", "gpt2", "--image", "224"], "takes no pictures"),
        (["flops", "gpt2", "--image", "224"], "takes no pictures"),
        (["flops", "gpt2", "--flops", "1"], "give more"),
        (["cost", "gpt2", "--steps", "9", "--price", "20@2999-01-01"], "in the future"),
        (["memory", "no-such-model"], "no architecture is called"),
        (["memory", "gpt2", "--hw", "p55"], "there is no such instance"),
        (["memory", "gpt2", "--gpus", "8", "--tp", "3"], "multiple of tp x pp x cp = 3"),
        (["memory", "gpt2", "--gpus", "8", "--tp", "8"], "must divide the 12 attention heads"),
        (["memory", "gpt2", "--batch", "12", "--gpus", "8"], "multiple of replicas x micro-batch = 8"),
        (["memory", "gpt2", "--recompute", "most"], "must be one of none, selective, full"),
        (["time", "gpt2", "--precision", "fp8", "--hw", "p4d"], "no peak is known in fp8"),
        (["time", "gpt2", "--log", "steps.csv"], "--log needs --steps or --tokens"),
        (["time", "gpt2", "--log", "steps.csv", "--steps", "9"], "must be CSV or JSON lines"),
        (["time", "gpt2", "--tokens", "1B", "--steps", "9"], "give one of them"),
        (["cost", "gpt2"], "how long is the run"),
        (["cost", "gpt2", "--steps", "9", "--compare", ","], "names no instance"),
        (["cost", "gpt2", "--steps", "9", "--price", "20"], "such as 20.5@2026-11-01"),
        (["cost", "gpt2", "--steps", "9", "--machines", "none.yaml"], "cannot be read"),
    ],
)
def test_what_cannot_be_meant(ostinato: Ostinato, words: list[str], says: str) -> None:
    said = ostinato("plan", *words)
    assert said.code == ExitCode.BAD_INPUT
    assert says in said.err


def test_bytes_are_whole(ostinato: Ostinato) -> None:
    value = ostinato("plan", "memory", *FITS, "--json").value
    sizes = [value["total_bytes"], value["left_bytes"], value["host_bytes"], *value["parts_bytes"].values()]
    assert all(isinstance(size, int) for size in sizes)
    assert value["left_bytes"] == value["capacity_bytes"] - value["total_bytes"]
