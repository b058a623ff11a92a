"""The recipe, model and data sections of a run's configuration. Standard library only.

Each section is one of several kinds, told apart by `kind`; a section with `_target_` instead brings the user's own
class and is kept as TargetConfig: nobody but a worker imports it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """A user's own callable: dotted path and keyword arguments. Imported and called inside workers only."""

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CatalogueConfig:
    """Where a symbol catalogue lies, in Parquet shards, and what of it is held out."""

    url: str | None = field(
        default=None, metadata={"help": "folder or fsspec URL of the shards. None: the sample in the repository"}
    )
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    cache_folder: str | None = field(default=None, metadata={"help": "decoded records; None: ~/.cache/ostinato"})
    cache_max_bytes: int = field(default=20 * 2**30, metadata={"min": 2**20, "help": "bound of the decoded cache"})
    split_seed: int = field(default=0, metadata={"min": 0, "help": "which leak groups are held out"})


@dataclass(frozen=True, kw_only=True)
class CatalogueDataConfig(CatalogueConfig):
    """Image and text pairs of a symbol catalogue."""

    kind: Literal["catalogue"] = "catalogue"
    locales: tuple[str, ...] = field(
        default=("en", "de", "es", "ja"), metadata={"min_length": 1, "help": "locales trained on"}
    )
    vendors: tuple[str, ...] = field(
        default=("noto",),
        metadata={"min_length": 1, "help": "vendors trained on; the others are held out and evaluated"},
    )
    texts_per_image: int = field(default=4, metadata={"min": 1, "help": "texts drawn for each image"})
    text: Literal["names", "mixed"] = field(
        default="names", metadata={"help": "names only, or names and keywords mixed"}
    )
    augment: Literal["none", "light"] = "none"


@dataclass(frozen=True, kw_only=True)
class CatalogueTextConfig(CatalogueConfig):
    """Names and keywords of a symbol catalogue as running text, one line per entity and locale."""

    kind: Literal["catalogue_text"] = "catalogue_text"
    locales: tuple[str, ...] | None = field(default=None, metadata={"help": "None: all that the catalogue has"})
    encoding: Literal["bytes", "bpe"] = field(
        default="bytes", metadata={"help": "bytes, or byte pairs learnt from the training text"}
    )
    vocabulary: int = field(
        default=256, metadata={"min": 256, "max": 65536, "help": "how many tokens; 256 unless encoding = bpe"}
    )
    sequence_length: int = field(default=128, metadata={"min": 8, "help": "tokens that a sample predicts"})
    heldout_bytes: int | None = field(
        default=2**18, metadata={"min": 1, "help": "held-out text that is measured; None: all of it"}
    )

    def __post_init__(self) -> None:
        """Refuse a vocabulary that bytes do not have."""
        if self.encoding == "bytes" and self.vocabulary != 256:
            raise ValueError(f"vocabulary = {self.vocabulary} with encoding = bytes: must be 256, or choose bpe")


@dataclass(frozen=True, kw_only=True)
class ClipModelConfig:
    """An image tower and a multilingual text tower with one shared embedding space."""

    kind: Literal["clip"] = "clip"
    embedding_dim: int = field(default=128, metadata={"min": 8})
    image_channels: tuple[int, ...] = field(
        default=(24, 64, 160), metadata={"min_length": 1, "min": 1, "help": "of each stage"}
    )
    text_tower: Literal["ngram", "bytes"] = field(
        default="ngram", metadata={"help": "hashed byte n-grams, or a byte transformer"}
    )
    text_width: int = field(
        default=64, metadata={"min": 8, "help": "of an n-gram's vector, or of the byte transformer"}
    )
    text_layers: int = field(default=2, metadata={"min": 1, "help": "layers of the byte transformer"})
    ngram_buckets: int = field(default=2**14, metadata={"min": 256})
    dropout: float = field(default=0.0, metadata={"min": 0.0, "max": 0.9})
    initial_temperature: float = field(default=0.07, metadata={"min": 0.001, "max": 1.0})


@dataclass(frozen=True, kw_only=True)
class LmModelConfig:
    """A decoder: rotary attention, SwiGLU, RMSNorm, tied embeddings."""

    kind: Literal["lm"] = "lm"
    vocabulary: int = field(default=256, metadata={"min": 2, "help": "tokens; the recipe sets that of the data"})
    width: int = field(metadata={"min": 8})
    layers: int = field(metadata={"min": 1})
    heads: int = field(metadata={"min": 1, "help": "of even width each"})

    def __post_init__(self) -> None:
        """Refuse heads that do not share the width evenly."""
        if self.width % (2 * self.heads):
            raise ValueError(f"heads = {self.heads} with width = {self.width}: width must be a multiple of 2 · heads")


@dataclass(frozen=True, kw_only=True)
class CatalogueClipConfig:
    """Contrastive image-text training with negatives from the whole global batch."""

    kind: Literal["catalogue_clip"] = "catalogue_clip"
    text_to_text: float = field(
        default=0.5, metadata={"min": 0.0, "help": "weight of finding an image's texts by one another; 0: off"}
    )
    loss: TargetConfig | None = field(
        default=None, metadata={"help": "None: symmetric InfoNCE; else a _target_ called as loss(output, batch)"}
    )


@dataclass(frozen=True, kw_only=True)
class LmLadderConfig:
    """Next-token prediction on running text, measured in nats per byte."""

    kind: Literal["lm_ladder"] = "lm_ladder"
    measure_all: bool = field(
        default=True, metadata={"help": "at the end, also measure all text that is held out (heldout_all/...)"}
    )


@dataclass(frozen=True, kw_only=True)
class CustomConfig:
    """A user's own model and data (by `_target_`), trained with a loss called as `loss(output, batch)`."""

    kind: Literal["custom"] = "custom"
    loss: TargetConfig | None = None


RecipeConfig = CatalogueClipConfig | LmLadderConfig | CustomConfig
ModelConfig = ClipModelConfig | LmModelConfig | TargetConfig
DataConfig = CatalogueDataConfig | CatalogueTextConfig | TargetConfig
