"""The picture embedder of the pack: the image tower of a tiny CLIP as open_clip builds it.

Only the image tower is trained. open_clip always builds a text tower too; the pack's is the smallest that loads and
its weights are as initialised: text search with the demo pack has no meaning.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from dataset_pipeline.demo.training.data import EMBEDDING_SIZE_PX
from dataset_pipeline.demo.training.detector import cosine_rate
from dataset_pipeline.demo.training.identity import CLIP_MEAN, CLIP_STD

IMAGE_SIZE = EMBEDDING_SIZE_PX
PEAK_LEARNING_RATE = 2e-3
MOMENTS_PER_BATCH = 10
TEMPERATURE = 0.1
SAME_AT_LEAST = 0.985
OTHER_AT_MOST = 0.8
HINGE_WEIGHT = 10.0
MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64, "patch_size": None},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
}
PREPROCESSING = {"mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic", "resize_mode": "squash"}


def train_embedder(moments: np.ndarray, *, steps: int, seed: int) -> torch.nn.Module:
    """Train on `moments`, uint8 [n, shots, views, 96, 96, 3] RGB, for `steps` batches of 10 moments.

    The views of a shot are near-duplicates; the shots of one moment are hard to tell apart: the same backdrop with
    other people, the same people elsewhere. Two views of the same shot are drawn towards each other, all other pairs
    apart, both with the supervised contrastive loss and with hinges that place the two kinds on either side of the
    cosine 0.95 that near-duplicate removal uses.
    """
    import open_clip

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = open_clip.CLIP(**MODEL_CONFIG)
    tower = model.visual
    optimizer = torch.optim.AdamW(tower.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=1e-2)
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (CLIP_MEAN, CLIP_STD))
    count, shots, views = moments.shape[:3]
    model.train()
    for step in range(steps):
        rows = rng.choice(count, min(MOMENTS_PER_BATCH, count), replace=False)
        pair = np.stack([rng.choice(views, 2, replace=False) for _ in range(len(rows) * shots)])
        flat = moments[rows].reshape(-1, views, *moments.shape[3:])
        batch = np.take_along_axis(flat, pair[:, :, None, None, None], 1).reshape(-1, *moments.shape[3:])
        images = (torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255 - mean) / std
        if rng.random() < 0.5:
            images = images.flip(3)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_LEARNING_RATE)
        loss = near_duplicate_loss(F.normalize(tower(images)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"embedder step {step}/{steps} loss {loss.item():.3f}", flush=True)
    return model.eval()


def near_duplicate_loss(unit: torch.Tensor) -> torch.Tensor:
    """Loss of unit vectors [2 k, d] whose rows 2 i and 2 i + 1 are near-duplicates and all others are not."""
    cosine = unit @ unit.T
    itself = torch.eye(len(unit), dtype=torch.bool)
    shot = torch.arange(len(unit)) // 2
    same = (shot[:, None] == shot[None]) & ~itself
    other = shot[:, None] != shot[None]
    contrast = -F.log_softmax((cosine / TEMPERATURE).masked_fill(itself, -1e9), 1)[same].mean()
    together = F.relu(SAME_AT_LEAST - cosine[same]).mean()
    too_near = F.relu(cosine - OTHER_AT_MOST) * other
    # The nearest strangers decide where a threshold can lie, so each picture's worst one counts, not the mean.
    apart = too_near.amax(1).mean()
    return 0.2 * contrast + HINGE_WEIGHT * (together + apart)


def embedder_files(model: torch.nn.Module) -> dict[str, bytes]:
    """``open_clip_config.json`` and ``open_clip_model.safetensors`` (half precision, which loading widens again)."""
    from safetensors.torch import save

    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESSING}
    return {
        "open_clip_config.json": (json.dumps(config, indent=2) + "\n").encode(),
        "open_clip_model.safetensors": save(state),
    }
