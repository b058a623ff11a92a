"""Families of models by size: what may be trained when only the budget is known."""

from dataclasses import dataclass
from math import gcd

from planner.architectures import BatchShape, load
from planner.architectures.model import Model
from planner.errors import BadInputError

_VOCABULARY, _HEAD = 128_256, 128
_LLAMA: tuple[tuple[int, int], ...] = (
    (512, 8), (768, 12), (1024, 16), (1536, 20), (2048, 16), (2048, 24), (2560, 28), (3072, 28), (4096, 32), (5120, 40),
    (6144, 48), (7168, 64), (8192, 80), (10240, 96), (12288, 108), (16384, 126),
)  # fmt: skip
"""(width, layers). 4096 x 32, 8192 x 80 and 16384 x 126 are Llama 3's (Grattafiori et al. 2024, arXiv:2407.21783, table
3), 2048 x 16 and 3072 x 28 those of Llama 3.2; what lies between has about their proportions."""
_LM: tuple[tuple[int, int, int], ...] = (
    (16, 2, 1), (24, 2, 2), (32, 2, 2), (32, 3, 2), (48, 3, 3), (64, 4, 4), (80, 4, 5), (96, 4, 6), (128, 5, 4),
    (160, 6, 5), (192, 7, 6), (224, 8, 7), (288, 10, 9), (384, 11, 6), (448, 12, 7), (512, 16, 8), (640, 20, 10),
)  # fmt: skip
"""(width, layers, heads) of the models lm_10k to lm_100m of our recipes."""
FAMILIES = ("llama", "lm")


@dataclass(frozen=True, slots=True)
class Rung:
    """One model of a family, with its sizes."""

    model: Model
    params: float
    """All weights, embeddings in: N of Hoffmann et al. 2022, approach 3."""
    body_params: float
    """Without embeddings and the output layer: N of Step Law."""

    @staticmethod
    def of(model: Model) -> "Rung":
        """Return a model with its sizes. Raises BadInputError for one that laws of N and D do not describe."""
        blocks = model.blocks(model.shape(BatchShape(tokens=None if model.own.tokens is None else 8)))
        operations = [(block.repeat, one) for block in blocks for one in block.operations]
        if model.own.tokens is None or model.own.image_size is not None:
            raise BadInputError(f"{model.name}: laws of parameters and tokens are of models of text")
        if any(one.active_parameters < one.parameters for _, one in operations):
            raise BadInputError(f"{model.name}: has experts; the laws that are known here are those of dense models")
        body = sum(repeat * one.parameters for repeat, one in operations if not one.is_embedding)
        return Rung(model, float(model.parameters()), float(body))


def ladder(family: str) -> tuple[Rung, ...]:
    """Return the models of a family (llama, lm), smallest first; of the name of one known model, that one alone.

    Raises UnknownNameError, BadInputError.
    """
    if family == "llama":
        models = [_llama(width, layers) for width, layers in _LLAMA]
    elif family == "lm":
        models = [_lm(*shape) for shape in _LM]
    else:
        models = [load(family)]
    return tuple(sorted((Rung.of(model) for model in models), key=lambda rung: rung.params))


def _llama(width: int, layers: int) -> Model:
    heads = width // (_HEAD if width >= 1024 else _HEAD // 2)
    return load(
        {
            "model_type": "llama", "name": f"llama-{width}x{layers}", "hidden_size": width,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": gcd(8, heads),
            "intermediate_size": 7 * width // 2, "vocab_size": _VOCABULARY, "max_position_embeddings": 8192,
            "tie_word_embeddings": width <= 3072,
        }
    )  # fmt: skip


def _lm(width: int, layers: int, heads: int) -> Model:
    return load({"kind": "lm", "name": f"lm-{width}x{layers}", "width": width, "layers": layers, "heads": heads})
