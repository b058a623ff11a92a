"""Perceptrons with a gate, and mixtures of them of which each token uses a few."""

from dataclasses import dataclass

from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture: `active` of `number` perceptrons of `width` for each token, and one of `shared_width` for all."""

    number: int
    active: int
    width: int
    shared_width: int = 0
    has_shared_gate: bool = False
    router: str = "mlp.gate"
    prefix: str = "mlp.experts"
    shared: str = "mlp.shared_expert"


@dataclass(frozen=True, slots=True)
class ExpertLayers:
    """Which layers of a stack have the mixture."""

    experts: Experts
    layers: frozenset[int]

    def at(self, layer: int) -> Experts | None:
        """Return the mixture of a layer, or None where it is dense."""
        return self.experts if layer in self.layers else None


def gated_perceptron(tape: Tape, name: str, x: Value, width: int, *, bias: bool = False) -> Value:
    """Write down(act(gate x) * up x) (Shazeer 2020, arXiv:2002.05202)."""
    gate = tape.activation(f"{name}.act_fn", tape.linear(f"{name}.gate_proj", x, width, bias=bias))
    up = tape.linear(f"{name}.up_proj", x, width, bias=bias)
    return tape.linear(f"{name}.down_proj", tape.multiply(f"{name}.product", gate, up), x.width, bias=bias)


def expert_perceptron(tape: Tape, x: Value, experts: Experts) -> Value:
    """Write router, the active experts, and what all tokens share. Tokens are counted once for each active expert."""
    scores = tape.activation(f"{experts.router}.softmax", tape.linear(experts.router, x, experts.number))
    chosen = tape.reshaped(x, experts.active * x.rows, x.width)
    width, number, active = experts.width, experts.number, experts.active
    fused = tape.experts_linear(f"{experts.prefix}.gate_up_proj", chosen, 2 * width, number, active)
    gate, up = tape.sliced(fused, width, width)
    inner = tape.multiply(f"{experts.prefix}.product", tape.activation(f"{experts.prefix}.act_fn", gate), up)
    out = tape.experts_linear(f"{experts.prefix}.down_proj", inner, x.width, number, active)
    weights = tape.reshaped(scores, out.rows, 1)
    out = tape.multiply(f"{experts.prefix}.weighted", out, weights)
    mixed = tape.reshaped(out, x.rows, x.width)
    if not experts.shared_width:
        return mixed
    shared = gated_perceptron(tape, experts.shared, x, experts.shared_width)
    if experts.has_shared_gate:
        gate = tape.activation("mlp.shared_expert_gate.sigmoid", tape.linear("mlp.shared_expert_gate", x, 1))
        shared = tape.multiply("mlp.shared_expert.weighted", shared, gate)
    return tape.add("mlp.sum", mixed, shared)


def read_experts(settings: Settings, kind: str) -> ExpertLayers | None:
    """Return the mixtures of Mixtral, Qwen and Llama 4 from a config.json; None for dense models."""
    number = settings.integer("num_hidden_layers")
    if kind == "mixtral":
        experts = Experts(
            settings.integer("num_local_experts", 8),
            settings.integer("num_experts_per_tok", 2),
            settings.integer("intermediate_size"),
        )
        return ExpertLayers(experts, frozenset(range(number)))
    if kind == "llama4_text":
        return _llama4_experts(settings, number)
    if kind not in {"qwen2_moe", "qwen3_moe"}:
        return None
    shared = settings.integer("shared_expert_intermediate_size", 0) if kind == "qwen2_moe" else 0
    experts = Experts(
        settings.integer("num_experts"),
        settings.integer("num_experts_per_tok"),
        settings.integer("moe_intermediate_size"),
        shared,
        has_shared_gate=shared > 0,
    )
    step, dense = settings.integer("decoder_sparse_step", 1), set(settings.several("mlp_only_layers"))
    return ExpertLayers(experts, frozenset(at for at in range(number) if at not in dense and (at + 1) % step == 0))


def _llama4_experts(settings: Settings, number: int) -> ExpertLayers:
    width = settings.integer("intermediate_size")
    experts = Experts(
        settings.integer("num_local_experts"),
        settings.integer("num_experts_per_tok", 1),
        width,
        shared_width=width,
        router="feed_forward.router",
        prefix="feed_forward.experts",
        shared="feed_forward.shared_expert",
    )
    step = settings.integer("interleave_moe_layer_step", 1)
    layers = settings.several("moe_layers") or list(range(step - 1, number, step))
    return ExpertLayers(experts, frozenset(layers))
