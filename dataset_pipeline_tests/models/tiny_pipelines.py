"""Stable Diffusion and SDXL with tiny random networks, as folders that diffusers writes: 0.5 MB each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
LETTERS = [chr(number) for number in range(33, 127)]
WORDS = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]


def tiny_sd(folder: Path, refuses: bool = False) -> Path:
    """Made for 64 px. refuses: with a safety checker that takes every picture for what it must not be."""
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    torch.manual_seed(0)
    checker, features = _refusing_checker() if refuses else (None, None)
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_text_encoder("CLIPTextModel"),
        tokenizer=_tokenizer(folder),
        unet=_unet(cross_attention_dim=16),
        scheduler=PNDMScheduler(skip_prk_steps=True, **BETAS),
        safety_checker=checker,
        feature_extractor=features,
        requires_safety_checker=refuses,
    )
    pipeline.save_pretrained(folder / "sd")
    return folder / "sd"


def tiny_sdxl(folder: Path) -> Path:
    """Made for 64 px."""
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    torch.manual_seed(0)
    unet = _unet(
        cross_attention_dim=32,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
        use_linear_projection=True,
    )
    tokenizer = _tokenizer(folder)
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_text_encoder("CLIPTextModel"),
        text_encoder_2=_text_encoder("CLIPTextModelWithProjection"),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(timestep_spacing="leading", **BETAS),
    )
    pipeline.save_pretrained(folder / "sdxl")
    return folder / "sdxl"


def _tokenizer(folder: Path) -> Any:
    """Each letter is a token."""
    from transformers import CLIPTokenizer

    files = folder / "vocab.json", folder / "merges.txt"
    folder.mkdir(parents=True, exist_ok=True)
    files[0].write_text(json.dumps({word: number for number, word in enumerate(WORDS)}))
    files[1].write_text("#version: 0.2\n")
    return CLIPTokenizer(*map(str, files), model_max_length=77)


def _text_encoder(kind: str) -> Any:
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        bos_token_id=len(WORDS) - 2,
        eos_token_id=len(WORDS) - 1,
        pad_token_id=len(WORDS) - 1,
    )
    return getattr(transformers, kind)(config)


def _vae() -> Any:
    from diffusers import AutoencoderKL

    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, down_block_types=down, up_block_types=up, latent_channels=4
    )


def _unet(**further: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        **further,
    )


def _refusing_checker() -> tuple[Any, Any]:
    import torch
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(projection_dim=16, vision_config={**tiny, "image_size": 32, "patch_size": 16}, text_config=tiny)
    checker = StableDiffusionSafetyChecker(config)
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2.0)  # below every cosine
    return checker, CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
