"""How a run is laid over devices: parallel dimensions, ZeRO, micro-batches, recomputation, precision, optimizer."""

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from planner.errors import BadInputError


class Recompute(StrEnum):
    """What the backward pass computes again instead of keeping (Korthikanti et al. 2022, arXiv:2205.05198)."""

    NONE = "none"
    SELECTIVE = "selective"
    """Attention's scores, softmax and their product with values: what a fused attention never keeps."""
    FULL = "full"
    """Whole layers: only each layer's input is kept."""


class Precision(StrEnum):
    """In what weights and activations are held and multiplied."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP8 = "fp8"
    """bf16 weights and activations, multiplied in 8 bits."""

    @property
    def element_bytes(self) -> int:
        """Bytes of one weight, gradient or activation."""
        return 4 if self is Precision.FP32 else 2


class Optimizer(StrEnum):
    """What is kept per weight for its update."""

    ADAMW = "adamw"
    """Two fp32 moments."""
    ADAMW_8BIT = "adamw8bit"
    """Two moments of a byte each, with an fp32 scale per 256 elements (Dettmers et al. 2021, arXiv:2110.02861)."""
    SGD = "sgd"
    """One fp32 momentum."""

    @property
    def moment_bytes(self) -> float:
        """Bytes per weight of moments, without masters."""
        return {"adamw": 8.0, "adamw8bit": 2.0 * (1.0 + 4.0 / 256.0), "sgd": 4.0}[self.value]


class Offload(StrEnum):
    """What lies in the host's memory instead of the accelerator's."""

    NONE = "none"
    OPTIMIZER = "optimizer"
    """Masters and moments (ZeRO-Offload, Ren et al. 2021, arXiv:2101.06840)."""
    PARAMETERS = "parameters"
    """Also weights (ZeRO-Infinity, Rajbhandari et al. 2021, arXiv:2104.07857): stage 3 only."""


_KINDS: dict[str, type[StrEnum]] = {
    "recompute": Recompute,
    "precision": Precision,
    "optimizer": Optimizer,
    "offload": Offload,
}


def _one_of(kind: type[StrEnum], name: str, value: str) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        raise BadInputError(f"layout: {name} = {value!r}: must be one of {', '.join(kind)}") from None


@dataclass(frozen=True, slots=True)
class Shape:
    """What of an architecture limits a layout. None: not known, not checked."""

    layers: int
    heads: int | None = None
    kv_heads: int | None = None
    experts: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to lay a run over devices. dp · tp · pp · cp is the number of devices; ep divides dp · cp."""

    dp: int = 1
    """Data-parallel replicas, over which ZeRO cuts."""
    tp: int = 1
    """Tensor parallelism within layers; with sequence parallelism outside of products, unless switched off."""
    pp: int = 1
    """Pipeline stages."""
    cp: int = 1
    """Parts into which each sequence is cut."""
    ep: int = 1
    """Devices over which experts are laid, within data and context parallelism."""
    interleave: int = 1
    """Groups of layers on each pipeline stage (Narayanan et al. 2021, arXiv:2104.04473, section 2.2)."""
    zero: int = 0
    micro_batch: int = 1
    """Samples in one forward pass of one rank."""
    accumulation: int = 1
    """Micro-batches per optimizer step and replica."""
    recompute: Recompute = Recompute.NONE
    precision: Precision = Precision.BF16
    optimizer: Optimizer = Optimizer.ADAMW
    offload: Offload = Offload.NONE
    sequence_parallel: bool = True

    def __post_init__(self) -> None:
        """Raise BadInputError for what no model can be laid over. Enumerations may be given by their values."""
        self._check_counts()
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, _one_of(kind, name, getattr(self, name)))
        if (self.dp * self.cp) % self.ep:
            raise BadInputError(f"layout: ep = {self.ep}: must divide dp x cp = {self.dp * self.cp}")
        if self.interleave > 1 and self.pp == 1:
            raise BadInputError(f"layout: interleave = {self.interleave}: needs pipeline stages (pp > 1)")
        if self.interleave > 1 and self.accumulation % self.pp:
            raise BadInputError(
                f"layout: interleave = {self.interleave}: accumulation = {self.accumulation} must be a multiple of "
                f"pp = {self.pp} (Narayanan et al. 2021, section 2.2.2)"
            )
        if self.offload is Offload.PARAMETERS and self.zero != 3:
            raise BadInputError(f"layout: offload = parameters: needs zero = 3, not {self.zero}")
        if self.offload is Offload.OPTIMIZER and self.zero == 0:
            raise BadInputError("layout: offload = optimizer: needs zero = 1, 2 or 3")

    def _check_counts(self) -> None:
        for name in ("dp", "tp", "pp", "cp", "ep", "interleave", "micro_batch", "accumulation"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise BadInputError(f"layout: {name} = {value!r}: must be a whole number of at least 1")
        if self.zero not in {0, 1, 2, 3}:
            raise BadInputError(f"layout: zero = {self.zero!r}: must be 0, 1, 2 or 3")

    @property
    def devices(self) -> int:
        """How many devices it takes."""
        return self.dp * self.tp * self.pp * self.cp

    @property
    def samples_per_step(self) -> int:
        """Samples of one optimizer step, over all replicas: the global batch."""
        return self.dp * self.micro_batch * self.accumulation

    @property
    def shards(self) -> int:
        """Ranks over which ZeRO cuts: data and context parallelism have the same weights."""
        return self.dp * self.cp

    def described(self) -> str:
        """Return what differs from the plain layout: `dp 8, tp 2, zero 3, micro-batch 2`."""
        plain = Layout()
        names = {"micro_batch": "micro-batch", "sequence_parallel": "sequence-parallel"}
        said = [
            f"{names.get(field.name, field.name)} {getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(plain, field.name)
        ]
        return ", ".join(said) or "one device"

    def changed(self, **changes: object) -> "Layout":
        """Return a copy with changes. Raises BadInputError for what it cannot be."""
        return replace(self, **changes)  # type: ignore[arg-type]  # the fields' own types, checked on construction


def check_layout(layout: Layout, shape: Shape) -> None:
    """Raise BadInputError where the architecture cannot be cut as the layout says."""
    groups = layout.pp * layout.interleave
    if groups > max(1, shape.layers):
        raise BadInputError(
            f"layout: pp x interleave = {layout.pp} x {layout.interleave}: there are {shape.layers} layers; a stage "
            "needs at least one"
        )
    _divides("tp", layout.tp, "attention heads", shape.heads)
    if shape.kv_heads is not None and layout.tp > shape.kv_heads and layout.tp % shape.kv_heads:
        raise BadInputError(f"layout: tp = {layout.tp}: must be a multiple of the {shape.kv_heads} key-value heads")
    if shape.kv_heads is not None and layout.tp <= shape.kv_heads:
        _divides("tp", layout.tp, "key-value heads", shape.kv_heads)
    if layout.ep > 1 and not shape.experts:
        raise BadInputError(f"layout: ep = {layout.ep}: the model has no experts")
    _divides("ep", layout.ep, "experts", shape.experts)
    _divides("cp", layout.cp, "tokens of a sequence", shape.tokens)


def _divides(name: str, value: int, what: str, count: int | None) -> None:
    if count is not None and count % value:
        raise BadInputError(f"layout: {name} = {value}: must divide the {count} {what}")
