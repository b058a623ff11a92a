"""Which weights are trained: all, some by name, or low-rank adapters beside frozen ones."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from planner.errors import BadInputError

LORA_TARGETS = (
    "*q_proj", "*k_proj", "*v_proj", "*o_proj", "*gate_proj", "*up_proj", "*down_proj", "*c_attn", "*c_proj", "*c_fc",
    "*query_key_value", "*query", "*key", "*value", "*dense", "*to_q", "*to_k", "*to_v",
)  # fmt: skip
"""Products in which adapters are put where nothing is said: those of attention and perceptrons."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): W x + B (A x), with A [rank, in] and B [out, rank]."""

    rank: int
    targets: tuple[str, ...] = LORA_TARGETS
    """Patterns (`*`, `?`, `[...]`) of the names of the products that get one."""

    def __post_init__(self) -> None:
        """Raise BadInputError for a rank that is none."""
        if self.rank < 1:
            raise BadInputError(f"LoRA rank = {self.rank}: must be at least 1")


@dataclass(frozen=True, slots=True)
class Tuning:
    """What of a model is trained. Frozen weights get no gradient; gradients still pass through them to what is before.

    With `lora`, everything but the adapters is frozen, as PEFT does it.
    """

    frozen: tuple[str, ...] = ()
    """Patterns of the names of weights, such as `model.layers.[0-3].*`; a name that begins as a pattern ends counts."""
    lora: Lora | None = None

    @property
    def is_full(self) -> bool:
        """Whether everything is trained."""
        return not self.frozen and self.lora is None

    @property
    def is_uniform(self) -> bool:
        """Whether no pattern can tell one layer from another: none has a digit or a choice of characters."""
        patterns = (*self.frozen, *(self.lora.targets if self.lora else ()))
        return not any(character.isdigit() or character in "[?" for pattern in patterns for character in pattern)

    def trains(self, name: str) -> bool:
        """Return whether the weights of the operation called `name` are trained."""
        if self.lora is not None:
            return False
        return not any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") for pattern in self.frozen)

    def rank(self, name: str) -> int | None:
        """Return the rank of the adapter beside the product called `name`, or None."""
        if self.lora is None:
            return None
        return self.lora.rank if any(fnmatchcase(name, target) for target in self.lora.targets) else None


FULL = Tuning()
"""Everything is trained."""
