"""The text of a catalogue as two streams of tokens, one to train on, one held out. Made once per node, and mapped."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from recipes.config import CatalogueTextConfig
from recipes.lm_tokenizers import Tokenizer, prepare_tokenizer
from recipes.records import Entity, Records, cache_of, open_records, open_source

FORMAT = "lm-text-3"
"""Part of the corpus's identity: a change of how documents are written, ordered or packed changes it."""
DOCUMENT_END = "\n"
_BATCH = 4096
_SEPARATORS = re.compile(r"[\s,:;()“”«»、，：；（）\-–]+")
_ARRAYS = ("train", "heldout", "heldout_ends")


class Corpus(NamedTuple):
    """Tokens as numbers. Each stream begins with the end of a document, so that each document has one before it."""

    fingerprint: str
    train: npt.NDArray[np.uint16]
    heldout: npt.NDArray[np.uint16]
    heldout_ends: npt.NDArray[np.int64]
    """Where each held-out document ends: [documents, 2], tokens (the first one counted) and bytes (it not counted)."""
    vocabulary: int


def open_corpus(config: CatalogueTextConfig) -> Corpus:
    """Open the corpus, making it first where this node has not yet (10 s for a million lines).

    Blocking; any number of processes of a node may call it at once. Raises CatalogueError kinds, RecordCacheError and
    MissingPackageError.
    """
    source = open_source(config)
    locales = config.locales or tuple(source.index.locales)
    identity = (FORMAT, source.index.fingerprint, locales, config.split_seed, config.encoding, config.vocabulary)
    fingerprint = xxhash.xxh3_128_hexdigest(repr(identity).encode())
    return cache_of(config).use(
        fingerprint,
        fill=lambda folder: _write(open_records(config), locales, config, folder),
        opened=lambda folder: _open(folder, fingerprint, config.vocabulary),
    )


def documents(records: Records, locales: Sequence[str], *, held_out: bool) -> list[str]:
    """Return one line per entity and locale that names it: locale, the entity itself, its name, and its keywords.

    Entities in a skin tone are left out: they are half of all, and say the same as without but for one phrase a locale.
    Lines are ordered by a hash of entity and locale: shuffled, and in the same way wherever and whenever.
    """
    keyed = []
    for entity in records.entities:
        if entity.held_out is held_out and not entity.skin_tone:
            keyed += [(_place(entity.code, locale), text) for locale, text in _lines(entity, locales)]
    return [text for _, text in sorted(keyed)]


def _lines(entity: Entity, locales: Sequence[str]) -> Iterator[tuple[str, str]]:
    for locale in locales:
        if locale in entity.names:
            name = entity.names[locale]
            keywords = ", ".join(new_keywords(name, entity.keywords.get(locale, ())))
            text = f"{locale} {entity.char} {name}{': ' if keywords else ''}{keywords}"
            yield locale, " ".join(text.split()) + DOCUMENT_END


def new_keywords(name: str, keywords: Sequence[str]) -> list[str]:
    """Return the keywords without those that repeat a word of the name or of a keyword before, or lie in the name.

    Most lists repeat their name. To copy is a skill that a model learns all at once, and at just the sizes of the
    ladder, where laws of powers know only smooth falls.
    """
    said = set(_words(name))
    found = []
    for keyword in keywords:
        words = _words(keyword)
        if said.isdisjoint(words) and keyword.casefold() not in name.casefold():
            found.append(keyword)
            said.update(words)
    return found


def _words(text: str) -> list[str]:
    return [word for word in _SEPARATORS.split(text.casefold()) if word]


def _place(code: str, locale: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{code} {locale}".encode())


def _write(records: Records, locales: Sequence[str], config: CatalogueTextConfig, folder: Path) -> None:
    train = documents(records, locales, held_out=False)
    tokenizer = prepare_tokenizer(config.encoding, config.vocabulary, train, folder)
    np.save(folder / "train.npy", _stream(tokenizer, train)[0])
    heldout = documents(records, locales, held_out=True)
    tokens, ends = _stream(tokenizer, heldout)
    np.save(folder / "heldout.npy", tokens)
    np.save(folder / "heldout_ends.npy", np.stack((ends, tokenizer.token_bytes[tokens][1:].cumsum()[ends - 2]), axis=1))


def _stream(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """Return all documents behind one document end, and where each ends."""
    pieces = tokenizer.encode([DOCUMENT_END])
    for start in range(0, len(texts), _BATCH):
        pieces += tokenizer.encode(texts[start : start + _BATCH])
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    return np.concatenate(pieces), ends[1:]


def _open(folder: Path, fingerprint: str, vocabulary: int) -> Corpus:
    train, heldout, ends = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
    return Corpus(fingerprint, train, heldout, ends, vocabulary)
