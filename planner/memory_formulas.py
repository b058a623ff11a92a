"""Published closed forms of memory, as a check of what is computed from operations."""

from planner.layout import Recompute

GIB = 1 << 30
_STATE_BYTES = 12.0
"""K of ZeRO's figure 1: fp32 master, momentum and variance of mixed-precision Adam."""


def zero_state_bytes(parameters: float, ranks: int, stage: int) -> float:
    """Return model states per rank (Rajbhandari et al. 2020, arXiv:1910.02054, figure 1): (2 + 2 + K) Psi, cut."""

    def share(from_stage: int) -> float:
        return 1.0 / ranks if stage >= from_stage else 1.0

    return parameters * (2.0 * share(3) + 2.0 * share(2) + _STATE_BYTES * share(1))


def korthikanti_layer_bytes(
    tokens: int,
    samples: int,
    width: int,
    heads: int,
    *,
    tp: int = 1,
    sequence_parallel: bool = False,
    recompute: Recompute = Recompute.NONE,
) -> float:
    """Return the activations of one layer (Korthikanti et al. 2022, arXiv:2205.05198, equations 1, 2, 4, table 2).

    In 16 bits with dropout and attention that is not fused: s b h (34 + 5 a s / h), and what of it is cut.
    """
    base = float(tokens) * samples * width
    attention = 5.0 * heads * tokens / width
    if recompute is Recompute.FULL:
        return 2.0 * base
    if recompute is Recompute.SELECTIVE:
        attention = 0.0
    if sequence_parallel:
        return base * (34.0 + attention) / tp
    return base * (10.0 + (24.0 + attention) / tp)


def korthikanti_first_stage_bytes(  # noqa: PLR0913 - the symbols of equation 5
    tokens: int,
    samples: int,
    width: int,
    heads: int,
    layers: int,
    *,
    tp: int,
    pp: int,
    interleave: int = 1,
    sequence_parallel: bool = False,
    recompute: Recompute = Recompute.NONE,
) -> float:
    """Return the activations of the first pipeline stage (equation 5): L layers' worth, times 1 + (p - 1) / (p m)."""
    layer = korthikanti_layer_bytes(
        tokens, samples, width, heads, tp=tp, sequence_parallel=sequence_parallel, recompute=recompute
    )
    return layer * layers * (1.0 + (pp - 1) / (pp * interleave) if interleave > 1 else 1.0)
