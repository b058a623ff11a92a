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
class CatalogueDataConfig:
    """Image and text pairs of a symbol catalogue in Parquet shards."""

    kind: Literal["catalogue"] = "catalogue"
    url: str | None = field(
        default=None, metadata={"help": "folder or fsspec URL of the shards. None: the sample in the repository"}
    )
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    cache_folder: str | None = field(default=None, metadata={"help": "decoded records; None: ~/.cache/ostinato"})
    cache_max_bytes: int = field(default=20 * 2**30, metadata={"min": 2**20, "help": "bound of the decoded cache"})
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
    split_seed: int = field(default=0, metadata={"min": 0, "help": "which leak groups are held out"})


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
class CustomConfig:
    """A user's own model and data (by `_target_`), trained with a loss called as `loss(output, batch)`."""

    kind: Literal["custom"] = "custom"
    loss: TargetConfig | None = None


RecipeConfig = CatalogueClipConfig | CustomConfig
ModelConfig = ClipModelConfig | TargetConfig
DataConfig = CatalogueDataConfig | TargetConfig
