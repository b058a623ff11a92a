"""The ladder on the sample in the repository: what is trained on, what is measured, and that it learns."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from configs.compose import compose
from recipes import build_recipe, parameter_count
from recipes.config import (
    CatalogueClipConfig,
    CatalogueDataConfig,
    CatalogueTextConfig,
    ClipModelConfig,
    LmLadderConfig,
    LmModelConfig,
)
from recipes.errors import CombinationError, NothingToTrainError, UnknownChoiceError
from recipes.lm_corpus import documents, new_keywords, open_corpus
from recipes.lm_data import HeldOutText, TextData
from recipes.lm_model import LanguageModel
from recipes.protocol import Batch, Recipe
from recipes.records import open_records

SMALL = LmModelConfig(width=32, layers=2, heads=2)
MODELS = Path(__file__).parents[3] / "configs" / "model"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> CatalogueTextConfig:
    return CatalogueTextConfig(cache_folder=str(tmp_path_factory.mktemp("records")), locales=("en", "ja", "hi"))


class Uniform(nn.Module):
    """Gives every token the same chance."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.nats = math.log(vocabulary)

    def forward(self, batch: Batch) -> torch.Tensor:
        return torch.full(batch["targets"].shape, self.nats)


def test_a_batch_is_a_function_of_seed_and_step(config: CatalogueTextConfig) -> None:
    corpus = open_corpus(config)
    data, again = (TextData(corpus, config, seed=3, global_batch=8) for _ in range(2))
    whole = data.batch(5, 0, 8)
    parts = [again.batch(5, start, start + 4)["inputs"] for start in (4, 0)]
    assert torch.equal(whole["inputs"], torch.cat(parts[::-1]))
    assert torch.equal(whole["inputs"][:, 1:], whole["targets"][:, :-1])
    other = TextData(corpus, config, seed=4, global_batch=8)
    assert other.sample_ids(0, 0, 8) != data.sample_ids(0, 0, 8)


def test_an_epoch_shows_every_sequence_once(config: CatalogueTextConfig) -> None:
    data = TextData(open_corpus(config), config, seed=0, global_batch=1)
    shown = [data.sample_ids(step, 0, 1)[0] for step in range(2 * data.num_samples)]
    first, second = shown[: data.num_samples], shown[data.num_samples :]
    assert first != second
    assert sorted(first) == sorted(second) == list(range(data.num_samples))


def test_what_is_held_out_is_not_trained_on(config: CatalogueTextConfig) -> None:
    corpus, records = open_corpus(config), open_records(config)
    train, heldout = (bytes(stream.astype(np.uint8)).decode() for stream in (corpus.train, corpus.heldout))
    held_out = {entity.char for entity in records.entities if entity.held_out and not entity.skin_tone}
    of_lines = [{line.split(" ")[1] for line in text.splitlines() if line} for text in (train, heldout)]
    assert of_lines[1] == held_out
    assert not of_lines[0] & held_out
    assert train == "\n" + "".join(documents(records, config.locales or (), held_out=False))


def test_a_document_says_locale_entity_name_and_keywords(config: CatalogueTextConfig) -> None:
    lines = documents(open_records(config), ("en",), held_out=False)
    assert "en 📔 notebook with decorative cover: decorated, education, school, writing\n" in lines
    assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines)


@pytest.mark.parametrize(
    ("name", "keywords", "kept"),
    [
        ("octopus", ("animal", "creature", "octopus", "Octopus arm"), ["animal", "creature"]),
        ("notebook", ("book", "paper"), ["paper"]),
        ("タコ", ("海", "タコ", "海"), ["海"]),
        ("man: light skin tone", ("light skin", "adult"), ["adult"]),
        ("x", (), []),
    ],
)
def test_keywords_that_only_repeat_are_left_out(name: str, keywords: tuple[str, ...], kept: list[str]) -> None:
    assert new_keywords(name, keywords) == kept


@pytest.mark.parametrize("limit_bytes", [1, 5000, None])
@pytest.mark.parametrize("encoding", ["bytes", "bpe"])
def test_held_out_bytes_are_counted_exactly(
    config: CatalogueTextConfig, encoding: str, limit_bytes: int | None
) -> None:
    if encoding == "bpe":
        pytest.importorskip("tokenizers")
    vocabulary = 256 if encoding == "bytes" else 600
    own = _with(config, encoding=encoding, vocabulary=vocabulary, heldout_bytes=limit_bytes)
    corpus = open_corpus(own)
    text = HeldOutText(corpus, own.sequence_length, limit_bytes)
    lines = documents(open_records(own), own.locales or (), held_out=True)
    sizes = np.cumsum([len(line.encode()) for line in lines])
    assert text.num_bytes == (sizes[-1] if limit_bytes is None else max(sizes[0], *sizes[sizes <= limit_bytes], 0))
    counted = [batch["targets"][counts] for batch, counts in text.batches()]
    assert torch.cat(counted).tolist() == corpus.heldout[1 : text.num_tokens + 1].tolist()
    metrics = _recipe(own).evaluate(Uniform(vocabulary), full=False)
    expected = math.log(vocabulary) * text.num_tokens / text.num_bytes
    assert metrics["heldout/nats_per_byte"] == pytest.approx(expected, rel=1e-6)


def test_all_of_the_held_out_text_at_the_end(config: CatalogueTextConfig) -> None:
    recipe = _recipe(_with(config, heldout_bytes=4096))
    assert "heldout_all/nats_per_byte" not in recipe.evaluate(Uniform(256), full=False)
    metrics = recipe.evaluate(Uniform(256), full=True)
    assert metrics["heldout_all/nats_per_byte"] == pytest.approx(math.log(256), rel=1e-6)
    assert metrics["n/heldout_bytes"] <= 4096 < metrics["n/heldout_all_bytes"]


def test_byte_pairs_are_learnt_the_same_way_twice(config: CatalogueTextConfig, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    settings = {"encoding": "bpe", "vocabulary": 700}
    first = open_corpus(_with(config, **settings))
    second = open_corpus(_with(config, **settings, cache_folder=str(tmp_path)))
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(first.train, second.train)
    assert len(first.train) < 0.6 * len(open_corpus(config).train)


def test_no_token_sees_those_after_it() -> None:
    torch.manual_seed(0)
    model = LanguageModel(SMALL)
    tokens = torch.randint(0, 256, (2, 33))
    changed = tokens.clone()
    changed[:, 20:] = 7
    before, after = (model({"inputs": t[:, :-1], "targets": t[:, 1:]}) for t in (tokens, changed))
    assert torch.equal(before[:, :19], after[:, :19])
    assert not torch.allclose(before[:, 20:], after[:, 20:])


def test_a_new_model_knows_next_to_nothing() -> None:
    """Logits of variance 1 cost half a nat."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 256, (8, 65))
    nats = LanguageModel(SMALL)({"inputs": tokens[:, :-1], "targets": tokens[:, 1:]})
    assert math.log(256) < nats.mean().item() < math.log(256) + 1.0


def test_recomputed_blocks_change_no_gradient() -> None:
    tokens = torch.randint(0, 256, (2, 17))
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model = LanguageModel(SMALL)
        for block in model.checkpointable() if recompute else []:
            inner = block.forward
            block.forward = lambda *args, _inner=inner: checkpoint(_inner, *args, use_reentrant=False)
        model({"inputs": tokens[:, :-1], "targets": tokens[:, 1:]}).mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_it_learns(config: CatalogueTextConfig) -> None:
    recipe = _recipe(_with(config, sequence_length=128))
    torch.manual_seed(0)
    model = recipe.model()
    data = recipe.data(seed=0, global_batch=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(60):
        optimizer.zero_grad()
        for loss in recipe.losses(model, [data.batch(step, 0, 4), data.batch(step, 4, 8)]):
            (loss.backward / 2).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        metrics = recipe.evaluate(model.eval(), full=False)
    assert metrics["heldout/nats_per_byte"] < 2.9


@pytest.mark.parametrize("path", sorted(MODELS.glob("lm_*.yaml")), ids=lambda path: path.stem)
def test_a_model_is_as_large_as_its_name_says(path: Path) -> None:
    spec = compose(["recipe=lm_ladder", f"model={path.stem}"]).spec
    count = parameter_count(spec.model)
    number, unit = path.stem.removeprefix("lm_")[:-1], path.stem[-1]
    assert count is not None
    assert count == pytest.approx(int(number) * {"k": 1e3, "m": 1e6}[unit], rel=0.17)
    assert f"{count:,} parameters" in path.read_text()


def test_what_does_not_fit_together(config: CatalogueTextConfig) -> None:
    with pytest.raises(CombinationError, match=r"lm_ladder with data.kind = catalogue:.*use recipe=catalogue_clip"):
        build_recipe(LmLadderConfig(), SMALL, CatalogueDataConfig())
    with pytest.raises(CombinationError, match=r"lm_ladder with model.kind = clip"):
        build_recipe(LmLadderConfig(), ClipModelConfig(), config)
    with pytest.raises(CombinationError, match=r"catalogue_clip with model.kind = lm"):
        build_recipe(CatalogueClipConfig(), SMALL, CatalogueDataConfig())
    with pytest.raises(CombinationError, match=r"model.vocabulary = 300 with data.vocabulary = 256"):
        build_recipe(LmLadderConfig(), LmModelConfig(width=32, layers=1, heads=2, vocabulary=300), config)
    with pytest.raises(ValueError, match="must be a multiple of 2"):
        LmModelConfig(width=30, layers=1, heads=4)
    with pytest.raises(ValueError, match="choose bpe"):
        CatalogueTextConfig(vocabulary=512)
    with pytest.raises(UnknownChoiceError, match=r"data.locales: 'eng' is not in"):
        open_corpus(_with(config, locales=("eng",)))
    with pytest.raises(NothingToTrainError, match="too few for one sequence"):
        TextData(open_corpus(config), _with(config, sequence_length=10**7), seed=0, global_batch=1)


def _recipe(config: CatalogueTextConfig) -> Recipe:
    return build_recipe(LmLadderConfig(), replace(SMALL, vocabulary=config.vocabulary), config)


def _with(config: CatalogueTextConfig, **changes: object) -> CatalogueTextConfig:
    return replace(config, **changes)
