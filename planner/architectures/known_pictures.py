"""Sizes of known models of pictures, alone or beside text. Each is what its config.json says."""

from typing import Any

Config = dict[str, Any]


def _vit(width: int, layers: int, heads: int, patch: int, size: int = 224, **more: Any) -> Config:
    return {
        "model_type": "vit", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": 4 * width, "patch_size": patch, "image_size": size, "num_labels": 1000, **more,
    }  # fmt: skip


def _clip(patch: int, dim: int, vision: tuple[int, int, int], text: tuple[int, int, int], size: int = 224) -> Config:
    """Return a CLIP from (width, layers, heads) of each tower."""
    parts = [
        {
            "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": 4 * width,
        }
        for width, layers, heads in (vision, text)
    ]  # fmt: skip
    return {
        "model_type": "clip",
        "projection_dim": dim,
        "vision_config": {**parts[0], "patch_size": patch, "image_size": size},
        "text_config": {**parts[1], "vocab_size": 49408, "max_position_embeddings": 77},
    }


def _dit(layers: int, heads: int, head_width: int, patch: int, size: int = 32) -> Config:
    return {
        "_class_name": "DiTTransformer2DModel", "num_layers": layers, "num_attention_heads": heads,
        "attention_head_dim": head_width, "patch_size": patch, "sample_size": size, "in_channels": 4, "out_channels": 8,
    }  # fmt: skip


def _unet(text_width: int, heads: int | list[int], size: int, **more: Any) -> Config:
    return {
        "_class_name": "UNet2DConditionModel", "block_out_channels": [320, 640, 1280, 1280],
        "cross_attention_dim": text_width, "attention_head_dim": heads, "sample_size": size, "layers_per_block": 2,
        **more,
    }  # fmt: skip


PICTURES: dict[str, Config] = {
    "vit-ti-16": _vit(192, 12, 3, 16),
    "vit-s-16": _vit(384, 12, 6, 16),
    "vit-s-32": _vit(384, 12, 6, 32),
    "vit-b-16": _vit(768, 12, 12, 16),
    "vit-b-32": _vit(768, 12, 12, 32),
    "vit-l-16": _vit(1024, 24, 16, 16),
    "vit-h-14": _vit(1280, 32, 16, 14),
    "vit-g-14": _vit(1408, 40, 16, 14, intermediate_size=6144),
    "clip-vit-b-32": _clip(32, 512, (768, 12, 12), (512, 12, 8)),
    "clip-vit-b-16": _clip(16, 512, (768, 12, 12), (512, 12, 8)),
    "clip-vit-l-14": _clip(14, 768, (1024, 24, 16), (768, 12, 12)),
    "clip-vit-l-14-336": _clip(14, 768, (1024, 24, 16), (768, 12, 12), 336),
    "clip-vit-h-14": _clip(14, 1024, (1280, 32, 16), (1024, 24, 16)),
    "clip-vit-bigg-14": _clip(14, 1280, (1664, 48, 16), (1280, 32, 20)),
    "dit-s-2": _dit(12, 6, 64, 2),
    "dit-b-4": _dit(12, 12, 64, 4),
    "dit-l-2": _dit(24, 16, 64, 2),
    "dit-xl-2": _dit(28, 16, 72, 2),
    "dit-xl-2-512": _dit(28, 16, 72, 2, 64),
    "stable-diffusion-1.5": _unet(768, 8, 64),
    "stable-diffusion-2.1": _unet(1024, [5, 10, 20, 20], 96, use_linear_projection=True),
    "stable-diffusion-xl": _unet(
        2048, [5, 10, 20], 128, block_out_channels=[320, 640, 1280], use_linear_projection=True,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        transformer_layers_per_block=[1, 2, 10], addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    ),
}  # fmt: skip
"""The name and the configuration."""
PICTURES["clip-vit-bigg-14"]["vision_config"]["intermediate_size"] = 8192
