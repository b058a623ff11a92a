"""Texts to tensors, without a vocabulary: hashed byte n-grams, or bytes. Pure functions of the texts."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Featurize: TypeAlias = Callable[[Sequence[str]], dict[str, torch.Tensor]]

MAX_BYTES = 64
_SIZES = (3, 4, 6)
# Not \W, which would cut Indic and Thai words at their vowel signs and lose keycaps such as # and *.
_SEPARATORS = re.compile(r"[\s,:;()“”«»、，：；（）「」]+")
_MAX_WORD_BYTES = 256  # a longer "word" is cut: it bounds time and memory for whatever a user's catalogue holds
_CACHED_WORDS = 2**17  # some 30 MB when full; names and keywords of 24 locales have 94,540 words
_HASH = np.dtype(np.uint32)
_PRIME = np.uint64(0x9E3779B97F4A7C15)


def ngram_features(texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return the hashed byte n-grams of the texts, as torch.nn.EmbeddingBag wants them.

    A text is lower-cased and split at white space and punctuation; each word, between `<` and `>`, gives itself and
    its byte n-grams of 3, 4 and 6 (after fastText, Bojanowski et al. 2017, arXiv:1607.04606, on bytes).

    Returns:
        `ngrams`: int64 [total], hashes in [0, 2**32); the tower folds them into its buckets.
        `ngram_offsets`: int64 [texts], where each text begins.
    """
    pieces: list[bytes] = []
    offsets = np.zeros(len(texts), np.int64)
    total = 0
    for index, text in enumerate(texts):
        offsets[index] = total
        for word in _words(text):
            hashes = word_ngrams(word)
            pieces.append(hashes)
            total += len(hashes) // _HASH.itemsize
    flat = np.frombuffer(b"".join(pieces), _HASH).astype(np.int64)
    return {"ngrams": torch.from_numpy(flat), "ngram_offsets": torch.from_numpy(offsets)}


def _words(text: str) -> list[str]:
    """Return the words of a text, or one empty word: each text has at least one n-gram."""
    return [word for word in _SEPARATORS.split(text.lower()) if word] or [""]


@lru_cache(maxsize=_CACHED_WORDS)
def word_ngrams(word: str) -> bytes:
    """Return the hashes of one word and of its byte n-grams, uint32 one after another.

    Bytes and not an array: Python keeps small objects apart, while cached arrays lie between the batches' large ones
    and keep their memory from being given back (1.5 MB a batch, measured).
    """
    data = np.frombuffer(b"<" + word.encode()[:_MAX_WORD_BYTES] + b">", np.uint8).astype(np.uint64) + np.uint64(1)
    sizes = (len(data), *(size for size in _SIZES if size < len(data)))
    return np.concatenate([_window_hashes(data, size) for size in sizes]).astype(_HASH).tobytes()


def _window_hashes(data: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint64]:
    """Hash each window of `size` bytes: a polynomial modulo 2**64 of which the upper half is kept."""
    windows = np.lib.stride_tricks.sliding_window_view(data, size)
    powers = np.cumprod(np.full(size, _PRIME, np.uint64))
    mixed = (windows * powers).sum(axis=1, dtype=np.uint64) + np.uint64(size)
    mixed ^= mixed >> np.uint64(29)
    upper: npt.NDArray[np.uint64] = (mixed * _PRIME) >> np.uint64(32)
    return upper


def byte_features(texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return `text_bytes`: uint8 [texts, length], lower-cased UTF-8 padded with zeros.

    `length` is that of the longest text, at most MAX_BYTES, rounded up to a multiple of 4.
    """
    encoded = [text.lower().encode()[:MAX_BYTES] for text in texts]
    longest = max((len(data) for data in encoded), default=0)
    length = max(4, -(-longest // 4) * 4)
    padded = np.zeros((len(encoded), length), np.uint8)
    for row, data in zip(padded, encoded, strict=True):
        row[: len(data)] = np.frombuffer(data, np.uint8)
    return {"text_bytes": torch.from_numpy(padded)}
