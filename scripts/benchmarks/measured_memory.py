"""Training steps of small models, each in this process, with the bytes that they really hold beside the estimate.

Run as `python -m scripts.benchmarks.measured_memory FAMILY`: it prints one JSON object per case. Each family is a child
process of its own, so that one model's libraries and caches are not counted for another.
"""

import json
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from planner.architectures import BatchShape, load
from planner.layout import Layout, Optimizer, Precision, Recompute
from planner.memory import PLAIN, MemoryEstimate, estimate_memory
from planner.memory_profile import memory_profile, transformers_kernels

_LLAMA = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 2048, "max_position_embeddings": 512,
}  # fmt: skip
_GPT2 = {
    "model_type": "gpt2", "n_embd": 256, "n_layer": 4, "n_head": 4, "vocab_size": 1024, "n_positions": 256,
    "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
}  # fmt: skip
_VIT = {
    "model_type": "vit", "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 3,
    "image_size": 112, "patch_size": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
_CLIP = {
    "model_type": "clip", "projection_dim": 128,
    "text_config": {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4,
                    "vocab_size": 2000, "max_position_embeddings": 32},
    "vision_config": {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 3,
                      "image_size": 64, "patch_size": 16},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One model, one batch, one way to train it."""

    family: str
    config: Mapping[str, Any]
    samples: int
    tokens: int | None = None
    recompute: Recompute = Recompute.NONE
    optimizer: Optimizer = Optimizer.ADAMW
    accumulation: int = 1
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What distinguishes it."""
        what = [f"{self.samples} x {self.tokens}" if self.tokens else str(self.samples)]
        what += [f"{name} {value}" for name, value in self.changes.items()]
        what += [f"recompute {self.recompute}"] if self.recompute is not Recompute.NONE else []
        what += [str(self.optimizer)] if self.optimizer is not Optimizer.ADAMW else []
        what += [f"{self.accumulation} micro-batches"] if self.accumulation > 1 else []
        return f"{self.family} {', '.join(what)}"

    @property
    def settings(self) -> dict[str, Any]:
        """The config.json."""
        return {**self.config, **self.changes}


_FULL, _SGD = Recompute.FULL, Optimizer.SGD
CASES = (
    Case("llama", _LLAMA, 4, 128),
    Case("llama", _LLAMA, 16, 256),
    Case("llama", _LLAMA, 16, 256, _FULL),
    Case("llama", _LLAMA, 4, 128, accumulation=2),
    Case("llama", _LLAMA, 8, 256, _FULL, changes={"num_hidden_layers": 8, "vocab_size": 512}),
    Case("llama", _LLAMA, 8, 256, optimizer=_SGD, changes={"num_key_value_heads": 2, "vocab_size": 512}),
    Case("llama", _LLAMA, 1, 64, changes={"hidden_size": 512, "intermediate_size": 1376, "vocab_size": 8192}),
    Case("gpt2", _GPT2, 4, 128),
    Case("gpt2", _GPT2, 16, 256),
    Case("gpt2", _GPT2, 16, 256, _FULL),
    Case("gpt2", _GPT2, 8, 128, accumulation=2, optimizer=_SGD),
    Case("gpt2", _GPT2, 1, 32, changes={"n_embd": 512, "vocab_size": 4096}),
    Case("vit", _VIT, 16),
    Case("vit", _VIT, 32, recompute=_FULL),
    Case("vit", _VIT, 8, changes={"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6}),
    Case("clip", _CLIP, 32),
    Case("clip", _CLIP, 64),
    Case("clip", _CLIP, 8, optimizer=_SGD),
)  # fmt: skip
_ACTIVATIONS = {"llama": "silu", "gpt2": "gelu_new", "vit": "gelu", "clip": "quick_gelu"}
FAMILIES = tuple(dict.fromkeys(case.family for case in CASES))


def estimated(case: Case) -> MemoryEstimate:
    """Return what the planner says, of tensors alone."""
    layout = Layout(
        micro_batch=case.samples, accumulation=case.accumulation, recompute=case.recompute, optimizer=case.optimizer,
        precision=Precision.FP32,
    )  # fmt: skip
    kernels = transformers_kernels(_ACTIVATIONS[case.family])
    profile = memory_profile(load(case.settings), BatchShape(case.samples, case.tokens), kernels)
    return estimate_memory(profile, layout, PLAIN)


def measured_bytes(case: Case) -> int:
    """Return the peak of living tensors in a real training step."""
    import torch  # noqa: PLC0415 - in the child process only

    from planner.memory_torch import peak_step_bytes  # noqa: PLC0415

    torch.manual_seed(0)
    model, batch, forward = _MODELS[case.family](case)
    model.train()
    if case.recompute is Recompute.FULL:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if case.optimizer is Optimizer.SGD:
        optimizer: Any = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def step() -> None:
        for _ in range(case.accumulation):
            out = forward()
            out.loss.backward()
            del out
        optimizer.step()
        optimizer.zero_grad()

    return peak_step_bytes(model, optimizer, step, batch=batch)


_Made = tuple[Any, list[Any], Callable[[], Any]]


def _text(case: Case) -> _Made:
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    kind = {"llama": transformers.LlamaForCausalLM, "gpt2": transformers.GPT2LMHeadModel}[case.family]
    model = kind(transformers.AutoConfig.for_model(**case.settings))
    ids = torch.randint(0, model.config.vocab_size, (case.samples, case.tokens or 0))
    return model, [ids], lambda: model(input_ids=ids, labels=ids, use_cache=False)


def _vit(case: Case) -> _Made:
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    config: Any = transformers.AutoConfig.for_model(**case.settings)
    model = transformers.ViTForImageClassification(config)
    pixels = torch.randn(case.samples, 3, config.image_size, config.image_size)
    labels = torch.zeros(case.samples, dtype=torch.long)
    return model, [pixels, labels], lambda: model(pixel_values=pixels, labels=labels)


def _clip(case: Case) -> _Made:
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    config: Any = transformers.AutoConfig.for_model(**case.settings)
    model = transformers.CLIPModel(config)
    size, length = config.vision_config.image_size, config.text_config.max_position_embeddings
    pixels = torch.randn(case.samples, 3, size, size)
    ids = torch.randint(0, config.text_config.vocab_size, (case.samples, length))
    return model, [pixels, ids], lambda: model(input_ids=ids, pixel_values=pixels, return_loss=True)


_MODELS: dict[str, Callable[[Case], _Made]] = {"llama": _text, "gpt2": _text, "vit": _vit, "clip": _clip}


def family_rows(family: str) -> Iterator[dict[str, Any]]:
    """Measure the cases of one family, here."""
    for case in (case for case in CASES if case.family == family):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = measured_bytes(case)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        estimate = estimated(case)
        yield {
            "case": case.name, "measured_bytes": found, "estimated_bytes": estimate.total_bytes,
            "rss_grown_bytes": 1024 * grown, "moment": estimate.moment,
        }  # fmt: skip


if __name__ == "__main__":
    for line in family_rows(sys.argv[1]):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
