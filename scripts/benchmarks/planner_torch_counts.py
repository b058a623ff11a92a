"""Architectures counted twice: by the planner, and by torch's FlopCounterMode over the real module on the meta device.

Needs transformers, diffusers and peft (the extra `dev`). Nothing is allocated and nothing is downloaded.
"""

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from planner.architectures import load
from planner.architectures.catalogue import known_config
from planner.architectures.module import scalar
from planner.architectures.operations import BatchShape
from planner.architectures.tuning import FULL, Lora, Tuning
from recipes.clip import ClipModel
from recipes.config import ClipModelConfig

_CLASSES = {
    "gpt2": "GPT2LMHeadModel", "bert": "BertForMaskedLM", "roberta": "RobertaForMaskedLM",
    "xlm-roberta": "XLMRobertaForMaskedLM", "t5": "T5ForConditionalGeneration", "mt5": "MT5ForConditionalGeneration",
    "vit": "ViTForImageClassification", "clip": "CLIPModel", "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM", "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM", "olmo2": "Olmo2ForCausalLM",
    "phi3": "Phi3ForCausalLM", "deepseek_v2": "DeepseekV2ForCausalLM", "deepseek_v3": "DeepseekV3ForCausalLM",
    "llama4_text": "Llama4ForCausalLM", "gpt_neox": "GPTNeoXForCausalLM", "opt": "OPTForCausalLM",
    "mamba": "MambaForCausalLM", "mamba2": "Mamba2ForCausalLM",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One architecture at one shape of batch, with a part of it trained."""

    name: str
    config: Mapping[str, Any]
    shape: BatchShape
    tuning: Tuning = FULL


@dataclass(frozen=True)
class Count:
    """FLOPs of a forward pass and of forward and backward, the number of weights, and what counting took."""

    forward: int
    both: int
    parameters: int
    wall_ms: float


def ours(case: Case) -> Count:
    """Count by the planner, from the configuration to the sums."""
    began_s = time.perf_counter()
    model = load(case.config).tuned(case.tuning)
    operations = [(block.repeat, operation) for block in model.blocks(case.shape) for operation in block.operations]
    forward = sum(repeat * operation.forward_flops for repeat, operation in operations)
    backward = sum(repeat * operation.backward_flops for repeat, operation in operations)
    parameters = sum(repeat * operation.parameters for repeat, operation in operations)
    return Count(forward, forward + backward, parameters, 1e3 * (time.perf_counter() - began_s))


def theirs(case: Case) -> Count:
    """Build the module on the meta device and count by torch."""
    began_s = time.perf_counter()
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        module, inputs = _built(case)
        forward, both = torch_flops(module, inputs)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Count(forward, both, parameters, 1e3 * (time.perf_counter() - began_s))


def torch_flops(module: Any, inputs: Mapping[str, Any]) -> tuple[int, int]:
    """Return the FLOPs of forward, and of forward and backward, that FlopCounterMode counts.

    One formula of torch 2.13 is corrected: it counts the weight gradient of a grouped convolution `groups` times over.
    """
    mapping = {torch.ops.aten.convolution_backward: _grouped_backward}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        out = module(**inputs)
        forward = counter.get_total_flops()
        torch.autograd.backward(scalar(out))
    return forward, counter.get_total_flops()


_TEXTS = (
    ("llama-7b", 2048), ("llama2-13b", 4096), ("llama2-70b", 4096), ("llama3-8b", 8192), ("llama3.1-405b", 8192),
    ("llama3.2-1b", 2048), ("tinyllama-1.1b", 2048), ("smollm2-135m", 1024), ("mistral-7b", 8192),
    ("mistral-nemo-12b", 2048), ("mistral-large-123b", 2048), ("qwen2-0.5b", 1024), ("qwen2-7b", 2048),
    ("qwen2.5-72b", 2048), ("qwen3-0.6b", 1024), ("qwen3-8b", 4096), ("gemma-2b", 1024), ("gemma2-9b", 8192),
    ("gemma3-1b", 2048), ("phi3-mini", 4096), ("olmo2-7b", 2048), ("mixtral-8x7b", 256), ("mixtral-8x22b", 128),
    ("qwen1.5-moe-a2.7b", 256), ("qwen2-57b-a14b", 128), ("qwen3-30b-a3b", 128), ("qwen3-235b-a22b", 64),
    ("deepseek-v2-lite", 128), ("deepseek-v2", 64), ("deepseek-v3", 64), ("gpt2", 1024), ("gpt2-medium", 1024),
    ("gpt2-large", 1024), ("gpt2-xl", 1024), ("gpt3-175b", 2048), ("gpt-neox-20b", 2048), ("pythia-70m", 2048),
    ("pythia-1b", 2048), ("pythia-12b", 2048), ("opt-125m", 2048), ("opt-350m", 2048), ("opt-66b", 2048),
    ("bert-base", 512), ("bert-large", 128), ("roberta-base", 512), ("xlm-roberta-base", 256), ("mamba-130m", 24),
    ("mamba-2.8b", 12), ("mamba2-130m", 1024), ("mamba2-2.7b", 512),
)  # fmt: skip
_PAIRS = (("t5-small", 512, 114), ("t5-base", 512, 512), ("t5-11b", 512, 128), ("flan-t5-xl", 1024, 256),
          ("mt5-base", 1024, 256))  # fmt: skip
_PICTURES = (
    "vit-ti-16",
    "vit-b-16",
    "vit-b-32",
    "vit-l-16",
    "vit-h-14",
    "dit-s-2",
    "dit-b-4",
    "dit-xl-2",
    "dit-xl-2-512",
)
_BOTH = ("clip-vit-b-32", "clip-vit-b-16", "clip-vit-l-14", "clip-vit-l-14-336", "clip-vit-h-14",
         "stable-diffusion-1.5",
         "stable-diffusion-2.1", "stable-diffusion-xl")  # fmt: skip
_ATTENTION_ADAPTERS = Tuning(lora=Lora(16, ("*q_proj", "*v_proj")))
_ALL_ADAPTERS = Tuning(
    lora=Lora(8, ("*q_proj", "*k_proj", "*v_proj", "*o_proj", "*gate_proj", "*up_proj", "*down_proj"))
)
_TUNED = (
    ("llama3-8b, LoRA on queries and values", "llama3-8b", _ATTENTION_ADAPTERS),
    ("llama2-70b, LoRA on all products", "llama2-70b", _ALL_ADAPTERS),
    ("qwen2-7b, LoRA on down projections", "qwen2-7b", Tuning(lora=Lora(4, ("*down_proj",)))),
    ("gpt2, LoRA on attention", "gpt2", Tuning(lora=Lora(8, ("*c_attn",)))),
    ("llama3-8b, embedding frozen", "llama3-8b", Tuning(("model.embed_tokens",))),
    (
        "gpt2, embedding and four layers frozen",
        "gpt2",
        Tuning(("transformer.wte", "transformer.wpe", "transformer.h.[0-3]")),
    ),
    ("llama2-13b, head only", "llama2-13b", Tuning(("model.*",))),
    ("llama2-13b, perceptrons frozen", "llama2-13b", Tuning(("*.mlp.*",))),
    ("bert-base, attention only", "bert-base", Tuning(("*embeddings*", "*intermediate*", "*output*", "cls*"))),
)


def cases() -> tuple[Case, ...]:
    """Return the architectures that are counted twice."""
    found = [_known(name, name, BatchShape(1, tokens)) for name, tokens in _TEXTS]
    found += [_known(name, name, BatchShape(2, target, source)) for name, source, target in _PAIRS]
    found += [_known(name, name, BatchShape(2)) for name in (*_PICTURES, *_BOTH)]
    found += [_known(title, name, BatchShape(2, 512), tuning) for title, name, tuning in _TUNED]
    found.append(_known("clip-vit-b-32, pictures frozen", "clip-vit-b-32", BatchShape(4), Tuning(("vision_model.*",))))
    found.append(_known("t5-base, encoder frozen", "t5-base", BatchShape(1, 64, 128), Tuning(("encoder.*", "shared"))))
    for tower, width in (("ngram", 64), ("bytes", 160)):
        config = {"name": f"clip_{tower}", "kind": "clip", "text_tower": tower, "text_width": width}
        found.append(_complete(Case(name=f"clip_{tower}", config=config, shape=BatchShape(8))))
    return tuple(found)


def _known(title: str, name: str, shape: BatchShape, tuning: Tuning = FULL) -> Case:
    return _complete(Case(name=title, config=known_config(name), shape=shape, tuning=tuning))


def _complete(case: Case) -> Case:
    return replace(case, shape=load(case.config).shape(case.shape))


def _grouped_backward(gradient: Any, x: Any, weight: Any, *rest: Any, **_: Any) -> int:
    mask = rest[7]
    return int(2 * x[0] * math.prod(gradient[2:]) * math.prod(weight) * (bool(mask[0]) + bool(mask[1])))


def _built(case: Case) -> tuple[Any, dict[str, Any]]:
    """Return the module, with what is frozen or adapted, and its inputs. Called with the meta device as default."""
    kind = case.config.get("model_type") or case.config.get("_class_name") or "ours"
    module = {"DiTTransformer2DModel": _diffusion, "UNet2DConditionModel": _diffusion, "ours": _our_module}.get(
        kind, _transformer
    )(case.config)
    module = _tuned(module, case.tuning)
    return module, _INPUTS.get(kind, _text_inputs)(case)


def _transformer(config: Mapping[str, Any]) -> Any:
    transformers = import_module("transformers")
    kind = config["model_type"]
    values = {key: value for key, value in config.items() if key not in {"model_type", "name"}}
    if kind == "clip":
        values = {**values, **{part: dict(values[part]) for part in ("vision_config", "text_config")}}
    made = transformers.AutoConfig.for_model(kind, **values)
    made._experts_implementation = "batched_mm"  # the only one whose products do not depend on the data
    return getattr(transformers, _CLASSES[kind])._from_config(made)


def _diffusion(config: Mapping[str, Any]) -> Any:
    diffusers = import_module("diffusers")
    values = {key: value for key, value in config.items() if key not in {"_class_name", "name"}}
    return getattr(diffusers, config["_class_name"])(**values)


def _our_module(config: Mapping[str, Any]) -> Any:
    values = {key: value for key, value in config.items() if key not in {"name", "kind", "texts_per_image"}}
    return ClipModel(ClipModelConfig(**values))


def _tuned(module: Any, tuning: Tuning) -> Any:
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(tuning.trains(name.rpartition(".")[0]) if tuning.lora is None else False)
    if tuning.lora is None:
        return module
    peft = import_module("peft")
    targets = [pattern.removeprefix("*") for pattern in tuning.lora.targets]
    return peft.get_peft_model(module, peft.LoraConfig(r=tuning.lora.rank, target_modules=targets, lora_dropout=0.0))


def _ids(samples: int, tokens: int | None) -> Any:
    return torch.zeros(samples, tokens or 0, dtype=torch.long)


def _mask(samples: int, queries: int | None, keys: int | None) -> Any:
    return torch.zeros(samples, 1, queries or 0, keys or 0)


def _text_inputs(case: Case) -> dict[str, Any]:
    samples, tokens = case.shape.samples, case.shape.tokens
    found = {"input_ids": _ids(samples, tokens), "attention_mask": _mask(samples, tokens, tokens)}
    if case.config.get("model_type") in {"opt", "bert", "roberta", "xlm-roberta"}:
        return {**found, "position_ids": _ids(samples, tokens)}
    return {**found, "position_ids": _ids(samples, tokens), "use_cache": False}


def _mamba_inputs(case: Case) -> dict[str, Any]:
    return {"input_ids": _ids(case.shape.samples, case.shape.tokens), "use_cache": False}


def _t5_inputs(case: Case) -> dict[str, Any]:
    samples, source, target = case.shape.samples, case.shape.source_tokens, case.shape.tokens
    return {
        "input_ids": _ids(samples, source), "decoder_input_ids": _ids(samples, target), "use_cache": False,
        "decoder_attention_mask": _mask(samples, target, target),
    }  # fmt: skip


def _pixels(case: Case, channels: int) -> Any:
    return torch.zeros(case.shape.samples, channels, *(case.shape.image_size or (0, 0)))


def _vit_inputs(case: Case) -> dict[str, Any]:
    return {"pixel_values": _pixels(case, 3)}


def _clip_inputs(case: Case) -> dict[str, Any]:
    samples, tokens = case.shape.samples, case.shape.tokens
    return {
        "input_ids": _ids(samples, tokens), "pixel_values": _pixels(case, 3), "position_ids": _ids(1, tokens),
        "attention_mask": _mask(samples, tokens, tokens),
    }  # fmt: skip


def _dit_inputs(case: Case) -> dict[str, Any]:
    samples = case.shape.samples
    labels = _ids(samples, 1)[:, 0]
    return {"hidden_states": _pixels(case, 4), "timestep": labels, "class_labels": labels}


def _unet_inputs(case: Case) -> dict[str, Any]:
    samples, config = case.shape.samples, case.config
    text = torch.zeros(samples, case.shape.tokens or 0, config["cross_attention_dim"])
    found = {"sample": _pixels(case, 4), "timestep": torch.zeros(samples), "encoder_hidden_states": text}
    if "addition_embed_type" not in config:
        return found
    added = {"text_embeds": torch.zeros(samples, 1280), "time_ids": torch.zeros(samples, 6)}
    return {**found, "added_cond_kwargs": added}


def _our_inputs(case: Case) -> dict[str, Any]:
    texts = case.shape.samples * case.config.get("texts_per_image", 4)
    batch = {"images": _pixels(case, 3)}
    if case.config.get("text_tower") == "bytes":
        batch["text_bytes"] = torch.zeros(texts, case.shape.tokens or 0, dtype=torch.uint8)
    else:
        batch |= {"ngrams": _ids(1, 3 * texts)[0], "ngram_offsets": _ids(1, texts)[0]}
    return {"batch": batch}


_INPUTS: dict[str, Callable[[Case], dict[str, Any]]] = {
    "mamba": _mamba_inputs,
    "mamba2": _mamba_inputs,
    "t5": _t5_inputs,
    "mt5": _t5_inputs,
    "vit": _vit_inputs,
    "clip": _clip_inputs,
    "DiTTransformer2DModel": _dit_inputs,
    "UNet2DConditionModel": _unet_inputs,
    "ours": _our_inputs,
}
