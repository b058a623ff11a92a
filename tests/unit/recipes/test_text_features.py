import numpy as np
import torch

from recipes.text_features import MAX_BYTES, byte_features, ngram_features, word_ngrams


def hashes_of(word: str) -> list[int]:
    return np.frombuffer(word_ngrams(word), np.uint32).tolist()


def test_ngrams_of_a_text_do_not_depend_on_its_neighbours() -> None:
    texts = ["grinning face", "", "顔文字", "Grinning: FACE,"]
    together = ngram_features(texts)
    assert together["ngram_offsets"].shape == (4,)
    bounds = [*together["ngram_offsets"].tolist(), len(together["ngrams"])]
    for text, start, stop in zip(texts, bounds, bounds[1:], strict=False):
        alone = ngram_features([text])
        torch.testing.assert_close(together["ngrams"][start:stop], alone["ngrams"])
        assert stop > start
    torch.testing.assert_close(together["ngrams"][: bounds[1]], together["ngrams"][bounds[3] :])


def test_a_word_gives_itself_and_its_byte_ngrams() -> None:
    # "<cat>" has 5 bytes: itself, three 3-grams and two 4-grams.
    assert len(hashes_of("cat")) == 1 + 3 + 2
    assert set(hashes_of("cat")) & set(hashes_of("cats"))
    assert not set(hashes_of("cat")) & set(hashes_of("dog"))


def test_hashes_are_stable_spread_and_32_bit() -> None:
    assert hashes_of("smile")[:3] == [281194655, 2790016733, 1962988763]
    hashes = np.unique(np.concatenate([hashes_of(f"word{i}") for i in range(2000)]))
    found = ngram_features(["smile"])["ngrams"]
    assert found.dtype == torch.int64
    assert found.min() >= 0
    counts = np.bincount(hashes % 256, minlength=256)
    assert counts.min() > 0.5 * counts.mean()


def test_an_endless_word_is_bounded() -> None:
    assert len(hashes_of("a" * 100_000)) < 1000


def test_no_texts() -> None:
    assert ngram_features([])["ngrams"].shape == (0,)
    assert byte_features([])["text_bytes"].shape == (0, 4)


def test_bytes_are_padded_lowered_and_cut() -> None:
    found = byte_features(["Ab", "é", "x" * 200])["text_bytes"]
    assert found.dtype == torch.uint8
    assert found.shape == (3, MAX_BYTES)
    assert found[0, :3].tolist() == [ord("a"), ord("b"), 0]
    assert bytes(found[1, :2].tolist()).decode() == "é"
    assert byte_features(["Ab", "abcde"])["text_bytes"].shape == (2, 8)


def test_marks_stay_in_their_words() -> None:
    for text in ("हँसता", "keycap: #", "ไทย"):
        word = text.split()[-1]
        assert ngram_features([text])["ngrams"][-1] == hashes_of(word)[-1]
