"""The configurations of the 85 models of open_clip's model_profile.csv, without what does not bear on FLOPs or weights.

From mlfoundations/open_clip, src/open_clip/model_configs at 89fb801 (MIT).
"""

from typing import Any

Config = dict[str, Any]


def _two(dim: int, vision: Config, text: Config, **more: Any) -> Config:
    return {"embed_dim": dim, "vision_cfg": vision, "text_cfg": text, **more}


def _vit(width: int, layers: int, patch: int, **more: Any) -> Config:
    return {"width": width, "layers": layers, "patch_size": patch, **more}


def _resnet(layers: list[int], width: int, **more: Any) -> Config:
    return {"layers": layers, "width": width, **more}


def _timm(name: str, **more: Any) -> Config:
    return {"timm_model_name": name, **more}


def _text(width: int, heads: int, layers: int = 12, **more: Any) -> Config:
    return {"width": width, "heads": heads, "layers": layers, **more}


def _siglip(width: int, heads: int, layers: int, **more: Any) -> Config:
    own = {"context_length": 64, "vocab_size": 32000, "no_causal_mask": True, "proj_bias": True}
    return {**_text(width, heads, layers), **own, **more}


def _clipa(width: int, heads: int, layers: int) -> Config:
    return _text(width, heads, layers, context_length=32, vocab_size=32000, no_causal_mask=True)


def _hf(name: str, **more: Any) -> Config:
    return {"hf_model_name": name, **more}


MODELS: dict[str, Config] = {
    "ViT-S-32-alt": _two(256, _vit(384, 12, 32), _text(256, 4, 10)),
    "ViT-S-32": _two(384, _vit(384, 12, 32), _text(384, 6)),
    "ViT-M-32-alt": _two(384, _vit(512, 12, 32), _text(384, 6)),
    "ViT-M-32": _two(512, _vit(512, 12, 32), _text(512, 8)),
    "ViT-S-16-alt": _two(256, _vit(384, 12, 16), _text(256, 4, 10)),
    "ViT-S-16": _two(384, _vit(384, 12, 16), _text(384, 6)),
    "ViT-B-32": _two(512, _vit(768, 12, 32), _text(512, 8)),
    "ViT-B-32-quickgelu": _two(512, _vit(768, 12, 32), _text(512, 8)),
    "convnext_tiny": _two(1024, _timm("convnext_tiny"), _text(512, 8)),
    "ViT-B-32-256": _two(512, _vit(768, 12, 32, image_size=256), _text(512, 8)),
    "RN50": _two(1024, _resnet([3, 4, 6, 3], 64), _text(512, 8)),
    "RN50-quickgelu": _two(1024, _resnet([3, 4, 6, 3], 64), _text(512, 8)),
    "ViT-M-16-alt": _two(384, _vit(512, 12, 16, ls_init_value=0.0001), _text(384, 6)),
    "ViT-M-16": _two(512, _vit(512, 12, 16), _text(512, 8)),
    "vit_relpos_medium_patch16_cls_224": _two(512, _timm("vit_relpos_medium_patch16_cls_224"), _text(512, 8)),
    "mt5-base-ViT-B-32": _two(512, _vit(768, 12, 32), _hf("mt5-base")),
    "convnext_small": _two(512, _timm("convnext_small"), _text(512, 8)),
    "ViT-B-32-plus-256": _two(640, _vit(896, 12, 32, image_size=256), _text(640, 10)),
    "RN101": _two(512, _resnet([3, 4, 23, 3], 64), _text(512, 8)),
    "RN101-quickgelu": _two(512, _resnet([3, 4, 23, 3], 64), _text(512, 8)),
    "vit_medium_patch16_gap_256": _two(512, _timm("vit_medium_patch16_gap_256", image_size=256), _text(512, 8)),
    "coca_ViT-B-32": _two(
        512,
        _vit(768, 12, 32, attentional_pool=True, attn_pooler_heads=8),
        _text(512, 8, context_length=76, embed_cls=True),
        multimodal_cfg={"context_length": 76, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
    ),
    "convnext_base": _two(512, _timm("convnext_base"), _text(512, 8)),
    "swin_base_patch4_window7_224": _two(640, _timm("swin_base_patch4_window7_224"), _text(640, 10)),
    "ViT-B-16": _two(512, _vit(768, 12, 16), _text(512, 8)),
    "ViT-B-16-quickgelu": _two(512, _vit(768, 12, 16), _text(512, 8)),
    "EVA02-B-16": _two(512, _timm("eva02_base_patch16_clip_224"), _text(512, 8)),
    "ViT-B-16-SigLIP": _two(768, _timm("vit_base_patch16_siglip_224"), _siglip(768, 12, 12), init_logit_bias=-10),
    "convnext_base_w": _two(640, _timm("convnext_base", image_size=256), _text(640, 10)),
    "RN50x4": _two(640, _resnet([4, 6, 10, 6], 80, image_size=288), _text(640, 10)),
    "coca_roberta-ViT-B-32": _two(
        512,
        _vit(768, 12, 32),
        _hf("roberta-base", hf_proj_type="linear"),
        multimodal_cfg={"context_length": 76, "width": 768, "heads": 8, "layers": 12},
    ),
    "ViT-B-16-plus": _two(640, _vit(896, 12, 16), _text(640, 10)),
    "ViT-B-16-SigLIP-256": _two(
        768, _timm("vit_base_patch16_siglip_256", image_size=256), _siglip(768, 12, 12), init_logit_bias=-10
    ),
    "ViT-B-16-SigLIP-i18n-256": _two(
        768,
        _timm("vit_base_patch16_siglip_256", image_size=256),
        _siglip(768, 12, 12, vocab_size=250000),
        init_logit_bias=-10,
    ),
    "ViT-B-16-plus-240": _two(640, _vit(896, 12, 16, image_size=240), _text(640, 10)),
    "convnext_base_w_320": _two(640, _timm("convnext_base", image_size=320), _text(640, 10)),
    "convnext_large": _two(768, _timm("convnext_large"), _text(768, 12)),
    "coca_base": _two(
        512,
        _vit(768, 12, 18, image_size=288),
        _text(768, 12, context_length=76, vocab_size=64000, embed_cls=True),
        multimodal_cfg={"width": 768, "context_length": 76, "vocab_size": 64000, "layers": 12, "heads": 12},
    ),
    "roberta-ViT-B-32": _two(512, _vit(768, 12, 32), _hf("roberta-base")),
    "xlm-roberta-base-ViT-B-32": _two(512, _vit(768, 12, 32), _hf("xlm-roberta-base")),
    "convnext_large_d": _two(768, _timm("convnext_large", image_size=256, timm_proj="mlp"), _text(768, 12, 16)),
    "ViT-B-16-SigLIP-384": _two(
        768, _timm("vit_base_patch16_siglip_384", image_size=384), _siglip(768, 12, 12), init_logit_bias=-10
    ),
    "ViT-L-16": _two(768, _vit(1024, 24, 16), _text(768, 12)),
    "convnext_large_d_320": _two(768, _timm("convnext_large", image_size=320, timm_proj="mlp"), _text(768, 12, 16)),
    "RN50x16": _two(768, _resnet([6, 8, 18, 8], 96, image_size=384), _text(768, 12)),
    "ViT-L-14-CLIPA": _two(768, _vit(1024, 24, 14, no_ln_pre=True), _clipa(768, 12, 12)),
    "EVA02-L-14": _two(768, _timm("eva02_large_patch14_clip_224"), _text(768, 12)),
    "ViT-L-14": _two(768, _vit(1024, 24, 14), _text(768, 12)),
    "ViT-L-14-quickgelu": _two(768, _vit(1024, 24, 14), _text(768, 12)),
    "convnext_xlarge": _two(1024, _timm("convnext_xlarge", image_size=256), _text(1024, 16, 20)),
    "ViT-L-16-SigLIP-256": _two(
        1024, _timm("vit_large_patch16_siglip_256", image_size=256), _siglip(1024, 16, 24), init_logit_bias=-10
    ),
    "coca_ViT-L-14": _two(
        768,
        _vit(1024, 24, 14, attentional_pool=True, attn_pooler_heads=8),
        _text(768, 12, context_length=76, embed_cls=True),
        multimodal_cfg={"context_length": 76, "vocab_size": 49408, "width": 768, "heads": 12, "layers": 12},
    ),
    "ViT-B-16-SigLIP-512": _two(
        768, _timm("vit_base_patch16_siglip_512", image_size=512), _siglip(768, 12, 12), init_logit_bias=-10
    ),
    "ViT-SO400M-14-SigLIP": _two(
        1152,
        _timm("vit_so400m_patch14_siglip_224"),
        _siglip(1152, 16, 27, context_length=16, mlp_ratio=3.7362),
        init_logit_bias=-10,
    ),
    "ViT-L-14-280": _two(768, _vit(1024, 24, 14, image_size=280), _text(768, 12)),
    "ViT-L-16-320": _two(768, _vit(1024, 24, 16, image_size=320), _text(768, 12)),
    "ViT-H-16": _two(1024, _vit(1280, 32, 16, head_width=80), _text(1024, 16, 24)),
    "ViT-H-14-CLIPA": _two(1024, _vit(1280, 32, 14, head_width=80, no_ln_pre=True), _clipa(1024, 16, 24)),
    "nllb-clip-base": _two(512, _vit(768, 12, 32), _hf("nllb-200-distilled-600M", hf_proj_type="linear")),
    "ViT-H-14": _two(1024, _vit(1280, 32, 14, head_width=80), _text(1024, 16, 24)),
    "ViT-H-14-quickgelu": _two(1024, _vit(1280, 32, 14, head_width=80), _text(1024, 16, 24)),
    "ViT-L-14-CLIPA-336": _two(768, _vit(1024, 24, 14, image_size=336, no_ln_pre=True), _clipa(768, 12, 12)),
    "EVA02-L-14-336": _two(768, _timm("eva02_large_patch14_clip_336", image_size=336), _text(768, 12)),
    "ViT-L-14-336": _two(768, _vit(1024, 24, 14, image_size=336), _text(768, 12)),
    "ViT-L-16-SigLIP-384": _two(
        1024, _timm("vit_large_patch16_siglip_384", image_size=384), _siglip(1024, 16, 24), init_logit_bias=-10
    ),
    "convnext_xxlarge": _two(1024, _timm("convnext_xxlarge", image_size=256), _text(1024, 16, 24)),
    "nllb-clip-base-siglip": _two(
        768,
        _timm("vit_base_patch16_siglip_384", image_size=384),
        _hf("nllb-200-distilled-600M", hf_proj_type="linear"),
        init_logit_bias=-10,
    ),
    "mt5-xl-ViT-H-14": _two(1024, _vit(1280, 32, 14, head_width=80), _hf("mt5-xl")),
    "EVA01-g-14": _two(1024, _timm("eva_giant_patch14_224"), _text(768, 12)),
    "RN50x64": _two(1024, _resnet([3, 15, 36, 10], 128, image_size=448), _text(1024, 16)),
    "EVA01-g-14-plus": _two(1024, _timm("eva_giant_patch14_224"), _text(1024, 16, 24)),
    "ViT-g-14": _two(1024, _vit(1408, 40, 14, head_width=88, mlp_ratio=4.3637), _text(1024, 16, 24)),
    "convnext_xxlarge_320": _two(1024, _timm("convnext_xxlarge", image_size=320), _text(1024, 16, 24)),
    "xlm-roberta-large-ViT-H-14": _two(1024, _vit(1280, 32, 14, head_width=80), _hf("xlm-roberta-large")),
    "ViT-SO400M-14-SigLIP-384": _two(
        1152,
        _timm("vit_so400m_patch14_siglip_384", image_size=384),
        _siglip(1152, 16, 27, mlp_ratio=3.7362),
        init_logit_bias=-10,
    ),
    "ViT-H-14-CLIPA-336": _two(
        1024, _vit(1280, 32, 14, image_size=336, head_width=80, no_ln_pre=True), _clipa(1024, 16, 24)
    ),
    "ViT-bigG-14-CLIPA": _two(
        1280, _vit(1664, 48, 14, head_width=104, mlp_ratio=4.9231, no_ln_pre=True), _clipa(1280, 20, 32)
    ),
    "ViT-H-14-378-quickgelu": _two(1024, _vit(1280, 32, 14, image_size=378, head_width=80), _text(1024, 16, 24)),
    "ViT-bigG-14": _two(1280, _vit(1664, 48, 14, head_width=104, mlp_ratio=4.9231), _text(1280, 20, 32)),
    "nllb-clip-large": _two(
        1024, _vit(1280, 32, 14, head_width=80), _hf("nllb-200-distilled-1.3B", hf_proj_type="linear")
    ),
    "nllb-clip-large-siglip": _two(
        1152,
        _timm("vit_so400m_patch14_siglip_384", image_size=384),
        _hf("nllb-200-distilled-1.3B", hf_proj_type="linear"),
        init_logit_bias=-10,
    ),
    "ViT-e-14": _two(1280, _vit(1792, 56, 14, head_width=112, mlp_ratio=8.5715), _text(1280, 20, 36)),
    "ViT-bigG-14-CLIPA-336": _two(
        1280, _vit(1664, 48, 14, image_size=336, head_width=104, mlp_ratio=4.9231, no_ln_pre=True), _clipa(1280, 20, 32)
    ),
    "EVA02-E-14": _two(1024, _timm("eva02_enormous_patch14_clip_224"), _text(1024, 16, 24)),
    "EVA02-E-14-plus": _two(1024, _timm("eva02_enormous_patch14_clip_224"), _text(1280, 20, 32)),
}
"""By the name of the table."""
