"""Sizes of known models of text. Each is what its config.json says, without what the operations do not depend on."""

from typing import Any

Config = dict[str, Any]


def _llama(
    width: int, layers: int, heads: int, kv_heads: int, inner: int, vocabulary: int, tokens: int, **more: Any
) -> Config:
    return {
        "model_type": "llama", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "intermediate_size": inner, "vocab_size": vocabulary,
        "max_position_embeddings": tokens, "tie_word_embeddings": False, **more,
    }  # fmt: skip


def _gpt2(width: int, layers: int, heads: int, tokens: int = 1024, **more: Any) -> Config:
    return {
        "model_type": "gpt2", "n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": tokens,
        "vocab_size": 50257, **more,
    }  # fmt: skip


def _neox(width: int, layers: int, heads: int, vocabulary: int = 50304) -> Config:
    return {
        "model_type": "gpt_neox", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": 4 * width, "vocab_size": vocabulary, "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    }  # fmt: skip


def _opt(width: int, layers: int, heads: int, **more: Any) -> Config:
    return {
        "model_type": "opt", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "ffn_dim": 4 * width, "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": width,
        **more,
    }  # fmt: skip


def _bert(kind: str, width: int, layers: int, heads: int, vocabulary: int, positions: int, types: int) -> Config:
    return {
        "model_type": kind, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": 4 * width, "vocab_size": vocabulary, "max_position_embeddings": positions,
        "type_vocab_size": types,
    }  # fmt: skip


def _t5(width: int, inner: int, layers: int, heads: int, **more: Any) -> Config:
    return {
        "model_type": "t5", "d_model": width, "d_ff": inner, "num_layers": layers, "num_heads": heads, "d_kv": 64,
        "vocab_size": 32128, "n_positions": 512, **more,
    }  # fmt: skip


def _gated(config: Config, **more: Any) -> Config:
    return {**config, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, **more}


def _qwen_experts(
    kind: str,
    width: int,
    layers: int,
    heads: int,
    kv_heads: int,
    inner: int,
    experts: tuple[int, int, int],
    **more: Any,
) -> Config:
    number, active, expert = experts
    return _llama(
        width, layers, heads, kv_heads, inner, 151936, 32768, model_type=kind, num_experts=number,
        num_experts_per_tok=active, moe_intermediate_size=expert, **more,
    )  # fmt: skip


def _deepseek(kind: str, width: int, layers: int, heads: int, inner: int, vocabulary: int, **more: Any) -> Config:
    return {
        "model_type": kind, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": heads, "intermediate_size": inner, "vocab_size": vocabulary,
        "max_position_embeddings": 4096, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "v_head_dim": 128, "tie_word_embeddings": False, **more,
    }  # fmt: skip


def _mamba(width: int, layers: int, **more: Any) -> Config:
    return {"model_type": "mamba", "hidden_size": width, "num_hidden_layers": layers, "vocab_size": 50280, **more}


def _mamba2(width: int, layers: int) -> Config:
    return {
        "model_type": "mamba2", "hidden_size": width, "num_hidden_layers": layers, "vocab_size": 50288,
        "state_size": 128,
        "num_heads": 2 * width // 64, "head_dim": 64, "n_groups": 1, "chunk_size": 256, "tie_word_embeddings": True,
    }  # fmt: skip


TEXTS: dict[str, Config] = {
    "llama-7b": _llama(4096, 32, 32, 32, 11008, 32000, 2048),
    "llama-13b": _llama(5120, 40, 40, 40, 13824, 32000, 2048),
    "llama-33b": _llama(6656, 60, 52, 52, 17920, 32000, 2048),
    "llama-65b": _llama(8192, 80, 64, 64, 22016, 32000, 2048),
    "llama2-7b": _llama(4096, 32, 32, 32, 11008, 32000, 4096),
    "llama2-13b": _llama(5120, 40, 40, 40, 13824, 32000, 4096),
    "llama2-70b": _llama(8192, 80, 64, 8, 28672, 32000, 4096),
    "llama3-8b": _llama(4096, 32, 32, 8, 14336, 128256, 8192),
    "llama3-70b": _llama(8192, 80, 64, 8, 28672, 128256, 8192),
    "llama3.1-8b": _llama(4096, 32, 32, 8, 14336, 128256, 8192),
    "llama3.1-70b": _llama(8192, 80, 64, 8, 28672, 128256, 8192),
    "llama3.1-405b": _llama(16384, 126, 128, 8, 53248, 128256, 8192),
    "llama3.2-1b": _llama(2048, 16, 32, 8, 8192, 128256, 8192, head_dim=64, tie_word_embeddings=True),
    "llama3.2-3b": _llama(3072, 28, 24, 8, 8192, 128256, 8192, head_dim=128, tie_word_embeddings=True),
    "llama4-scout": _llama(
        5120, 48, 40, 8, 8192, 202048, 8192, model_type="llama4_text", head_dim=128, intermediate_size_mlp=16384,
        num_local_experts=16, num_experts_per_tok=1, interleave_moe_layer_step=1,
    ),
    "llama4-maverick": _llama(
        5120, 48, 40, 8, 8192, 202048, 8192, model_type="llama4_text", head_dim=128, intermediate_size_mlp=16384,
        num_local_experts=128, num_experts_per_tok=1, interleave_moe_layer_step=2,
    ),
    "tinyllama-1.1b": _llama(2048, 22, 32, 4, 5632, 32000, 2048),
    "smollm2-135m": _llama(576, 30, 9, 3, 1536, 49152, 2048, tie_word_embeddings=True),
    "smollm2-1.7b": _llama(2048, 24, 32, 32, 8192, 49152, 8192, tie_word_embeddings=True),
    "mistral-7b": _llama(4096, 32, 32, 8, 14336, 32000, 8192, model_type="mistral", sliding_window=4096),
    "mistral-nemo-12b": _llama(5120, 40, 32, 8, 14336, 131072, 8192, model_type="mistral", head_dim=128),
    "mistral-large-123b": _llama(12288, 88, 96, 8, 28672, 32768, 8192, model_type="mistral"),
    "mixtral-8x7b": _llama(
        4096, 32, 32, 8, 14336, 32000, 8192, model_type="mixtral", num_local_experts=8, num_experts_per_tok=2
    ),
    "mixtral-8x22b": _llama(
        6144, 56, 48, 8, 16384, 32768, 8192, model_type="mixtral", num_local_experts=8, num_experts_per_tok=2
    ),
    "qwen2-0.5b": _llama(896, 24, 14, 2, 4864, 151936, 8192, model_type="qwen2", tie_word_embeddings=True),
    "qwen2-7b": _llama(3584, 28, 28, 4, 18944, 152064, 8192, model_type="qwen2"),
    "qwen2.5-32b": _llama(5120, 64, 40, 8, 27648, 152064, 8192, model_type="qwen2"),
    "qwen2.5-72b": _llama(8192, 80, 64, 8, 29568, 152064, 8192, model_type="qwen2"),
    "qwen3-0.6b": _llama(
        1024, 28, 16, 8, 3072, 151936, 8192, model_type="qwen3", head_dim=128, tie_word_embeddings=True
    ),
    "qwen3-8b": _llama(4096, 36, 32, 8, 12288, 151936, 8192, model_type="qwen3", head_dim=128),
    "qwen3-32b": _llama(5120, 64, 64, 8, 25600, 151936, 8192, model_type="qwen3", head_dim=128),
    "qwen1.5-moe-a2.7b": _qwen_experts(
        "qwen2_moe", 2048, 24, 16, 16, 5632, (60, 4, 1408), shared_expert_intermediate_size=5632
    ),
    "qwen2-57b-a14b": _qwen_experts(
        "qwen2_moe", 3584, 28, 28, 4, 18944, (64, 8, 2560), shared_expert_intermediate_size=20480
    ),
    "qwen3-30b-a3b": _qwen_experts("qwen3_moe", 2048, 48, 32, 4, 6144, (128, 8, 768), head_dim=128),
    "qwen3-235b-a22b": _qwen_experts("qwen3_moe", 4096, 94, 64, 4, 12288, (128, 8, 1536), head_dim=128),
    "gemma-2b": _llama(2048, 18, 8, 1, 16384, 256000, 8192, model_type="gemma", head_dim=256, tie_word_embeddings=True),
    "gemma2-9b": _llama(
        3584, 42, 16, 8, 14336, 256000, 8192, model_type="gemma2", head_dim=256, sliding_window=4096,
        tie_word_embeddings=True,
    ),
    "gemma3-1b": _llama(
        1152, 26, 4, 1, 6912, 262144, 8192, model_type="gemma3_text", head_dim=256, sliding_window=512,
        tie_word_embeddings=True,
    ),
    "phi3-mini": _llama(3072, 32, 32, 32, 8192, 32064, 4096, model_type="phi3", sliding_window=2047),
    "olmo2-7b": _llama(4096, 32, 32, 32, 11008, 100352, 4096, model_type="olmo2"),
    "deepseek-v2-lite": _deepseek(
        "deepseek_v2", 2048, 27, 16, 10944, 102400, n_routed_experts=64, num_experts_per_tok=6,
        moe_intermediate_size=1408, n_shared_experts=2, first_k_dense_replace=1, q_lora_rank=None,
    ),
    "deepseek-v2": _deepseek(
        "deepseek_v2", 5120, 60, 128, 12288, 102400, n_routed_experts=160, num_experts_per_tok=6,
        moe_intermediate_size=1536, n_shared_experts=2, first_k_dense_replace=1, q_lora_rank=1536,
    ),
    "deepseek-v3": _deepseek(
        "deepseek_v3", 7168, 61, 128, 18432, 129280, n_routed_experts=256, num_experts_per_tok=8,
        moe_intermediate_size=2048, n_shared_experts=1, first_k_dense_replace=3, q_lora_rank=1536,
    ),
    "gpt2": _gpt2(768, 12, 12),
    "gpt2-medium": _gpt2(1024, 24, 16),
    "gpt2-large": _gpt2(1280, 36, 20),
    "gpt2-xl": _gpt2(1600, 48, 25),
    "gpt3-1.3b": _gpt2(2048, 24, 16, 2048),
    "gpt3-6.7b": _gpt2(4096, 32, 32, 2048),
    "megatron-175b": _gpt2(12288, 96, 96, 2048, vocab_size=51200),
    "gpt3-175b": _gpt2(12288, 96, 96, 2048),
    "megatron-22b": _gpt2(6144, 48, 64, 2048, vocab_size=51200),
    "megatron-530b": _gpt2(20480, 105, 128, 2048, vocab_size=51200),
    "megatron-1t": _gpt2(25600, 128, 160, 2048, vocab_size=51200),
    "gpt-neox-20b": _neox(6144, 44, 64, 50432),
    "pythia-70m": _neox(512, 6, 8),
    "pythia-160m": _neox(768, 12, 12),
    "pythia-1b": _neox(2048, 16, 8),
    "pythia-6.9b": _neox(4096, 32, 32, 50432),
    "pythia-12b": _neox(5120, 36, 40, 50688),
    "opt-125m": _opt(768, 12, 12),
    "opt-350m": _opt(1024, 24, 16, word_embed_proj_dim=512, do_layer_norm_before=False),
    "opt-66b": _opt(9216, 64, 72),
    "bert-base": _bert("bert", 768, 12, 12, 30522, 512, 2),
    "bert-large": _bert("bert", 1024, 24, 16, 30522, 512, 2),
    "roberta-base": _bert("roberta", 768, 12, 12, 50265, 514, 1),
    "roberta-large": _bert("roberta", 1024, 24, 16, 50265, 514, 1),
    "xlm-roberta-base": _bert("xlm-roberta", 768, 12, 12, 250002, 514, 1),
    "xlm-roberta-large": _bert("xlm-roberta", 1024, 24, 16, 250002, 514, 1),
    "t5-small": _t5(512, 2048, 6, 8),
    "t5-base": _t5(768, 3072, 12, 12),
    "t5-large": _t5(1024, 4096, 24, 16),
    "t5-3b": _t5(1024, 16384, 24, 32, d_kv=128),
    "t5-11b": _t5(1024, 65536, 24, 128, d_kv=128),
    "flan-t5-xl": _gated(_t5(2048, 5120, 24, 32)),
    "mt5-base": _gated(_t5(768, 2048, 12, 12), model_type="mt5", vocab_size=250112),
    "mt5-xl": _gated(_t5(2048, 5120, 24, 32), model_type="mt5", vocab_size=250112),
    "mamba-130m": _mamba(768, 24),
    "mamba-2.8b": _mamba(2560, 64),
    "mamba2-130m": _mamba2(768, 24),
    "mamba2-2.7b": _mamba2(2560, 64),
}  # fmt: skip
"""The name and the configuration."""
