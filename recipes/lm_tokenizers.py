"""Text to token numbers and back to a count of bytes. The only file that knows the package tokenizers.

Both tokenizers are complete on bytes: no text is unknown to them, and the bytes of a text's tokens are the text's.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from recipes.errors import MissingPackageError

Tokens = npt.NDArray[np.uint16]
_FILE = "tokenizer.json"


class Tokenizer(Protocol):
    """What the corpus asks of a tokenizer."""

    @property
    def token_bytes(self) -> npt.NDArray[np.int64]:
        """How many bytes of text each token stands for, [vocabulary]."""
        ...

    def encode(self, documents: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each document."""
        ...


class ByteTokenizer(Tokenizer):
    """A byte is a token."""

    @property
    @override
    def token_bytes(self) -> npt.NDArray[np.int64]:
        return np.ones(256, np.int64)

    @override
    def encode(self, documents: Sequence[str]) -> list[Tokens]:
        return [np.frombuffer(document.encode(), np.uint8).astype(np.uint16) for document in documents]


class BytePairTokenizer(Tokenizer):
    """Byte pairs merged by frequency (Sennrich et al. 2016, arXiv:1508.07909, on bytes as GPT-2 does)."""

    def __init__(self, file: Path) -> None:
        """Read what `train_byte_pairs` wrote. Raises MissingPackageError."""
        self._inner = _library().Tokenizer.from_file(str(file))

    @property
    @override
    def token_bytes(self) -> npt.NDArray[np.int64]:
        """Tokens are spelt in an alphabet of one character a byte."""
        size = self._inner.get_vocab_size()
        return np.array([len(self._inner.id_to_token(token)) for token in range(size)], np.int64)

    @override
    def encode(self, documents: Sequence[str]) -> list[Tokens]:
        found = self._inner.encode_batch(list(documents), add_special_tokens=False)
        return [np.array(encoding.ids, np.uint16) for encoding in found]


def train_byte_pairs(documents: Iterable[str], vocabulary: int, file: Path) -> None:
    """Learn `vocabulary` tokens, the 256 bytes among them, and write them. The same documents give the same file.

    Raises MissingPackageError.
    """
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    trainer = library.trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.save(str(file))


def prepare_tokenizer(
    kind: Literal["bytes", "bpe"], vocabulary: int, documents: Iterable[str], folder: Path
) -> Tokenizer:
    """Return the tokenizer; byte pairs are first learnt from the documents and kept in `folder`."""
    if kind == "bytes":
        return ByteTokenizer()
    train_byte_pairs(documents, vocabulary, folder / _FILE)
    return BytePairTokenizer(folder / _FILE)


def _library() -> Any:
    try:
        import tokenizers  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingPackageError(
            "data.encoding = bpe: the package tokenizers is not installed; pip install 'ostinato[bpe]', "
            "or choose data.encoding=bytes"
        ) from error
    return tokenizers
