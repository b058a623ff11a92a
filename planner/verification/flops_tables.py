"""Published FLOPs and parameters of papers and model cards, counted again by the convention of each.

Chinchilla's Table A4 counts sequences of 2048 without embeddings and logits; Megatron 2021 counts full recompute; DiT
and timm print MACs.
"""

from collections.abc import Sequence
from typing import Any

from planner.architectures.loading import load
from planner.architectures.model import Model
from planner.flops import Convention, Counting, Embeddings, flops_of
from planner.layout import Recompute
from planner.verification.check import Check
from planner.verification.printed import printed
from planner.verification.profilers import fvcore_macs

_CHINCHILLA = "Hoffmann et al. 2022, arXiv:2203.15556"
_A4 = (
    ("73M", 73e6, 10, 640, 10, "1.03"),
    ("305M", 305e6, 20, 1024, 16, "1.10"),
    ("552M", 552e6, 24, 1280, 10, "1.08"),
    ("1.1B", 1.1e9, 26, 1792, 14, "1.04"),
    ("1.6B", 1.6e9, 28, 2048, 16, "1.03"),
    ("6.8B", 6.8e9, 40, 3584, 28, "0.99"),
)
"""Name, N as printed, layers, width, heads, and the ratio of FLOPs to 6ND."""
_TABLE_3 = (
    ("400M", "8.0e9", "1.92e19"), ("1B", "20.2e9", "1.21e20"), ("10B", "205.1e9", "1.23e22"),
    ("67B", "1.5e12", "5.76e23"), ("175B", "3.7e12", "3.85e24"), ("280B", "5.9e12", "9.90e24"),
    ("520B", "11.0e12", "3.43e25"),
    ("1T", "21.2e12", "1.27e26"), ("10T", "216.2e12", "1.30e28"),
)  # fmt: skip
"""Parameters, tokens and FLOPs of Table 3."""
_MEGATRON = "Narayanan et al. 2021, arXiv:2104.04473, Table 1"
_MEGATRON_ROWS = (
    ("1.7", 24, 2304, 24), ("3.6", 30, 3072, 32), ("7.5", 36, 4096, 32), ("18.4", 40, 6144, 48), ("39.1", 48, 8192, 64),
    ("76.1", 60, 10240, 80), ("145.6", 80, 12288, 96), ("310.1", 96, 16384, 128), ("529.6", 105, 20480, 128),
    ("1008.0", 128, 25600, 160),
)  # fmt: skip
"""Billions of parameters, layers, width and heads; sequences of 2048, 51,200 tokens in the vocabulary."""
_KORTHIKANTI = "Korthikanti et al. 2022, arXiv:2205.05198, Table 5"
_UTILISATIONS = (
    ("megatron-22b", "41.5", "43.7"), ("megatron-175b", "51.4", "52.8"), ("megatron-530b", "56.0", "57.0"),
    ("megatron-1t", "56.3", "57.0"),
)  # fmt: skip
_HARDWARE = {kind: Counting(convention=Convention.HARDWARE, recompute=kind) for kind in Recompute}
_SIX_ND = Counting(convention=Convention.SIX_ND)
_TOKENS = 2048
_TIMM = "huggingface/pytorch-image-models results/benchmark-infer-amp-nchw-pt240-cu124-rtx3090.csv @aa4b5850"
_TIMM_ROWS: tuple[tuple[str, str, dict[str, Any], str, str], ...] = (
    ("vit_tiny_patch16_224", "vit-ti-16", {}, "5.72", "1.26"),
    ("vit_base_patch16_224", "vit-b-16", {}, "86.57", "17.58"),
    ("vit_large_patch16_224", "vit-l-16", {}, "304.33", "61.60"),
    ("vit_huge_patch14_224", "vit-h-14", {"has_head": False}, "630.76", "167.40"),
    ("deit3_small_patch16_224", "vit-s-16", {"scales": 2 * 12 * 384}, "22.06", "4.61"),
)


def chinchilla_suite() -> Sequence[Check]:
    """Compare Table A4's ratios of counted FLOPs to 6ND, and Table 3's tokens with what its FLOPs pay for."""
    return [*(_a4(*row) for row in _A4), *(_table_3(*row) for row in _TABLE_3)]


def _a4(name: str, number: float, layers: int, width: int, heads: int, ratio: str) -> Check:
    counted = flops_of(_gpt(layers, width, heads, 32_000), None, Counting(embeddings=Embeddings.OUT))
    found = float(counted.per_unit) / (6 * number)
    return printed(f"{name}: FLOPs / 6ND", ratio, found, f"{_CHINCHILLA}, Table A4")


def _table_3(name: str, tokens: str, flops: str) -> Check:
    number = float(name[:-1]) * {"M": 1e6, "B": 1e9, "T": 1e12}[name[-1]]
    found = float(flops) / (6 * number)
    slack = 0.005 * 10 ** int(flops.partition("e")[2]) / float(flops)
    return printed(f"{name}: tokens", tokens, found, f"{_CHINCHILLA}, Table 3", slack=slack)


def megatron_suite() -> Sequence[Check]:
    """Compare Megatron's parameters, its formula of FLOPs with full recompute, and the ratio of HFU to MFU."""
    checks = []
    for billions, layers, width, heads in _MEGATRON_ROWS:
        model = _gpt(layers, width, heads, 51_200)
        counted = flops_of(model, None, _HARDWARE[Recompute.FULL])
        # Equation 3 of the paper, for one sequence.
        formula = 96 * _TOKENS * layers * width**2 + 16 * _TOKENS**2 * layers * width + 6 * _TOKENS * width * 51_200
        checks.append(printed(f"{billions}B: billions of parameters", billions, counted.parameters / 1e9, _MEGATRON))
        name, equation = f"{billions}B: FLOPs of a sequence, recomputed", f"{_MEGATRON} and equation 3"
        checks.append(Check(name, formula, counted.total, counted.total == formula, "equal", equation))
    return [*checks, *(_utilisation(*row) for row in _UTILISATIONS)]


def _utilisation(name: str, mfu: str, hfu: str) -> Check:
    model = load(name)
    counted = flops_of(model, None, _HARDWARE[Recompute.SELECTIVE])
    # Equation 9 adds s/6h for the attention that is computed again: three times the 4 s h of its forward pass.
    ratio = 1 + 3 * counted.recomputed / (counted.forward + counted.backward)
    slack = 0.05 / float(mfu)
    return printed(f"{name}: HFU at its MFU by equation 9", hfu, float(mfu) * ratio, _KORTHIKANTI, slack=slack)


def published_suite() -> Sequence[Check]:
    """Compare single numbers of papers and model cards."""
    deepseek = flops_of(load("deepseek-v3"))
    table = next(one.parameters for one in load("deepseek-v3").blocks()[0].operations)
    mixtral = flops_of(load("mixtral-8x7b"))
    gpt3, llama = (flops_of(load(name), None, _SIX_ND) for name in ("gpt3-175b", "llama3.1-405b"))
    card = "deepseek-ai/DeepSeek-V3 README.md @9b4e978"
    checks = [
        printed("GPT-3: training FLOPs", "3.14e23", gpt3.of_units(300 * 10**9), "arXiv:2005.14165, Table D.1"),
        printed("Llama 3.1 405B: training FLOPs", "3.8e25", llama.of_units(15_600 * 10**9), "arXiv:2407.21783"),
        printed("DeepSeek-V3: parameters", "671e9", deepseek.parameters, card),
        # What is looked up is not activated: the table is left out, the output layer is not.
        printed("DeepSeek-V3: activated", "37e9", deepseek.active_parameters - table, card),
        printed("Mixtral 8x7B: parameters", "46.7e9", mixtral.parameters, "mistral.ai, as quoted"),
        printed("Mixtral 8x7B: active", "12.9e9", mixtral.active_parameters, "mistral.ai, as quoted"),
    ]
    for name, gigamacs in (("dit-xl-2", "119"), ("dit-xl-2-512", "525")):
        source = "facebookresearch/DiT README.md @ed81ce2, MACs called Gflops"
        checks.append(printed(f"{name}: GMACs", gigamacs, flops_of(load(name)).forward / 2e9, source))
    for row in _TIMM_ROWS:
        checks += _timm(*row)
    return checks


def _timm(name: str, ours: str, how: dict[str, Any], megaparameters: str, gigamacs: str) -> list[Check]:
    model = load(ours)
    head = sum(one.parameters for one in model.blocks()[-1].operations if one.name == "classifier")
    head = 0 if how.get("has_head", True) else head
    parameters = model.parameters() - head + how.get("scales", 0)
    return [
        printed(f"{name}: millions of parameters", megaparameters, parameters / 1e6, _TIMM),
        printed(f"{name}: GMACs", gigamacs, fvcore_macs(model.blocks()) / 1e9, _TIMM),
    ]


def _gpt(layers: int, width: int, heads: int, vocabulary: int) -> Model:
    return load(
        {
            "model_type": "gpt2", "n_layer": layers, "n_embd": width, "n_head": heads, "vocab_size": vocabulary,
            "n_positions": _TOKENS,
        }
    )  # fmt: skip
