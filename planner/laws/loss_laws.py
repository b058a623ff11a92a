"""Laws of the loss that are sums of power laws, each with its paper."""

from planner.laws.power_terms import PowerTerms, Term

HOFFMANN = PowerTerms(
    name="hoffmann",
    source="Hoffmann et al. 2022 (arXiv 2203.15556), approach 3, eq. 2: L = E + A/N^alpha + B/D^beta",
    columns=("params", "tokens"),
    terms=(
        Term("E"),
        Term("A", {"alpha": {"params": 1.0}}),
        Term("B", {"beta": {"tokens": 1.0}}),
    ),
)

TIED = PowerTerms(
    name="tied",
    source="Hoffmann et al. 2022 (arXiv 2203.15556), eq. 2 with alpha = beta, as Muennighoff et al. 2023 "
    "(arXiv 2305.16264) fit their base",
    columns=("params", "tokens"),
    terms=(
        Term("E"),
        Term("A", {"alpha": {"params": 1.0}}),
        Term("B", {"alpha": {"tokens": 1.0}}),
    ),
)

OVER_TRAINING = PowerTerms(
    name="over_training",
    source="Gadre et al. 2024 (arXiv 2403.08540), eq. 4: L = E + (a M^eta + b M^-eta) C^-eta, M = D/N",
    columns=("params", "tokens", "flops"),
    terms=(
        Term("E"),
        Term("a", {"eta": {"flops": 1.0, "tokens": -1.0, "params": 1.0}}),
        Term("b", {"eta": {"flops": 1.0, "tokens": 1.0, "params": -1.0}}),
    ),
)
"""With C = 6ND it is the tied law with alpha = 2 eta; with measured FLOPs it is not. It says what training beyond the
optimal M costs: at M = m · M*, the reducible loss grows by (m^eta + m^-eta) / 2."""

WIDTH_DEPTH = PowerTerms(
    name="width_depth",
    source="McLeish et al. 2025, Gemstones (arXiv 2502.06857), depth_width.py of its repository: "
    "L = A/w^alpha + B/d^beta + C/p^gamma + D/T^zeta + E of width w, depth d, parameters p, tokens T",
    columns=("width", "depth", "params", "tokens"),
    terms=(
        Term("E"),
        Term("A", {"alpha": {"width": 1.0}}),
        Term("B", {"beta": {"depth": 1.0}}),
        Term("C", {"gamma": {"params": 1.0}}),
        Term("D", {"zeta": {"tokens": 1.0}}),
    ),
)

MIXTURE = PowerTerms(
    name="mixture",
    source="Abnar et al. 2025 (arXiv 2501.12370), scaling law with sparsity: "
    "L = a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e of all parameters N and sparsity S",
    columns=("params", "tokens", "sparsity"),
    terms=(
        Term("e"),
        Term("a", {"alpha": {"params": 1.0}}),
        Term("b", {"beta": {"tokens": 1.0}}),
        Term("c", {"lambda": {"active": 1.0}}),
        Term("d", {"delta": {"active": 1.0}, "gamma": {"params": 1.0}}),
    ),
    free_sign=("lambda", "delta"),
)
"""`params` are all parameters; a token uses N · (1 − S) of them, and C = 6 N (1 − S) D."""

FINE_TUNING = PowerTerms(
    name="fine_tuning",
    source="Zhang et al. 2024 (arXiv 2402.17193), eq. 1: L = A / (X^alpha D_f^beta) + E, X the size of the model",
    columns=("params", "finetune_tokens"),
    terms=(
        Term("E"),
        Term("A", {"alpha": {"params": 1.0}, "beta": {"finetune_tokens": 1.0}}),
    ),
)
"""Multiplicative: what fine-tuning data are worth depends on the model, unlike in the additive laws above."""

FINE_TUNING_BY_DATA = PowerTerms(
    name="fine_tuning_by_data",
    source="Zhang et al. 2024 (arXiv 2402.17193), eq. 1 with X the tokens of pre-training",
    columns=("pretrain_tokens", "finetune_tokens"),
    terms=(
        Term("E"),
        Term("A", {"alpha": {"pretrain_tokens": 1.0}, "beta": {"finetune_tokens": 1.0}}),
    ),
)

ERROR = PowerTerms(
    name="error",
    source="Cherti et al. 2022 (arXiv 2212.07143), figure 1: error = B / C^alpha of total compute C",
    columns=("flops",),
    terms=(Term("B", {"alpha": {"flops": 1.0}}),),
)
"""For error rates (1 − accuracy, 1 − recall) in place of the loss. Fit it on the envelope: error_envelope.py."""
