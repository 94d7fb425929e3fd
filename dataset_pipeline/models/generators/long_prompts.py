"""Prompts longer than the text encoder takes (77 tokens of CLIP), in pieces that are encoded one by one.

Captions of forty tags are that long, and pipelines cut off the rest. The pieces' encodings stand one after another,
as in AUTOMATIC1111 and ComfyUI.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

WITH_CLIP = ("StableDiffusionPipeline", "StableDiffusionInpaint", "StableDiffusionXL")  # how their classes begin


def pieces_of(prompt: str, tokens_in: Callable[[str], int], most_tokens: int) -> list[str]:
    """The prompt in pieces of at most so many tokens, between tags where that goes, else between words; at least one,
    which may be empty. A single word that is longer stands alone."""
    pieces, piece = [], ""
    for part in _parts(prompt, tokens_in, most_tokens):
        if piece and tokens_in(piece + part) > most_tokens:
            pieces.append(piece.strip())
            piece = ""
        piece += part
    return [*pieces, piece.strip()] if piece.strip() or not pieces else pieces


def embedded(pipeline: Any, prompt: str, negative_prompt: str) -> dict[str, Any] | None:
    """What a pipeline with CLIP is called with in place of prompts of which one is too long; None if neither is, or
    if it is no such pipeline. pipeline: of diffusers, with the prompts' encoder that it has for Stable Diffusion."""
    import torch

    if not type(pipeline).__name__.startswith(WITH_CLIP):
        return None
    tokenizer = pipeline.tokenizer
    most = tokenizer.model_max_length - 2  # its first and its last token

    def tokens_in(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    pieces, negative = (pieces_of(text, tokens_in, most) for text in (prompt, negative_prompt))
    count = max(len(pieces), len(negative))
    if count == 1:
        return None
    given, pooled = _encoded(pipeline, pieces + [""] * (count - len(pieces)))
    without, without_pooled = _encoded(pipeline, negative + [""] * (count - len(negative)))
    if not negative_prompt and pipeline.config.get("force_zeros_for_empty_prompt"):
        without, without_pooled = torch.zeros_like(without), torch.zeros_like(without_pooled)
    told = {"prompt_embeds": given, "negative_prompt_embeds": without}
    if pooled is None:
        return told
    return {**told, "pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": without_pooled}


def _encoded(pipeline: Any, pieces: list[str]) -> tuple[Any, Any]:
    """The encodings of all pieces in a row, and for SDXL the pooled one of the first; None elsewhere."""
    import torch

    made = [
        pipeline.encode_prompt(
            prompt=piece,
            device=pipeline._execution_device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        for piece in pieces
    ]
    return torch.cat([it[0] for it in made], dim=1), made[0][2] if len(made[0]) > 2 else None


def _parts(prompt: str, tokens_in: Callable[[str], int], most_tokens: int) -> list[str]:
    """Tags with their commas; of those that are too long the words."""
    parts: list[str] = []
    for tag in re.findall(r"[^,]*,?", prompt):
        parts += [tag] if tokens_in(tag) <= most_tokens else re.findall(r"\s*\S+", tag)
    return parts
