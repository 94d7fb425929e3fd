"""CLIP vectors of frames, with open_clip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import numpy as np

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import peek, prepared_batches
from dataset_pipeline.models.device import Device, torch_device
from dataset_pipeline.models.on_device import Preparation, can_prepare_on, preparation_like
from dataset_pipeline.models.registry import Role
from dataset_pipeline.models.resource import SingleModelResource

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


class _Tower(NamedTuple):
    """prepare: from an RGB picture [height, width, 3] uint8 to the network's input, float32 [3, h, w]."""

    visual: torch.nn.Module
    prepare: Callable[[np.ndarray], torch.Tensor]
    device: Device


class FrameEmbedder(SingleModelResource):
    """Vectors whose cosine tells how alike two pictures are.

    The picture is squashed to the model's square, not cropped: the centre crop that open_clip uses by default never
    sees 44 % of a 16:9 frame.
    """

    role: ClassVar[Role] = "embedder"

    def dimension(self) -> int:
        """Length of a vector, from the model's configuration. Raises WeightsMissing."""
        pack, entry = self._entry()
        return json.loads(pack.file(entry, "config").read_text("utf-8"))["model_cfg"]["embed_dim"]

    def embed(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """float32 [n, d] of unit length for n RGB pictures [height, width, 3] uint8 of any sizes.

        Raises WeightsMissing, DeviceUnavailable, ValueError for a picture of another shape.
        """
        pictures = peek(images)
        if pictures is None:
            return np.zeros((0, self.dimension()), np.float32)
        import torch

        tower = self._tower()
        vectors = []
        for batch in prepared_batches(pictures, tower.prepare, self.batch_size):
            inputs = torch.stack(batch).to(str(tower.device))
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=tower.device.cuda):
                answer = tower.visual(inputs)
            vectors.append(torch.nn.functional.normalize(answer.float(), dim=-1).cpu().numpy())
            loading.count(self.role, len(batch))
        return np.concatenate(vectors)

    def _tower(self) -> _Tower:
        pack, entry = self._entry()
        device = torch_device(self.device)
        # open_clip only warns about absent weights and goes on with random ones.
        folder = pack.file(entry, "weights").parent
        key = (pack.root, entry.name, pack.fingerprint(self.role).sha256, device)
        return self._loaded(key, lambda: _load(folder, device))


def _load(folder: Path, device: Device) -> _Tower:
    import open_clip
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(
        f"local-dir:{folder}", device=str(device), image_resize_mode="squash"
    )
    # Only the image tower is kept; the text tower is freed with `model`.
    visual = cast("torch.nn.Module", model.visual).eval()

    def by_open_clip(image: np.ndarray) -> torch.Tensor:
        return cast("Callable", preprocess)(Image.fromarray(image))

    found = preparation_of(by_open_clip) if can_prepare_on(device) else None
    return _Tower(visual, found.on(device) if found else by_open_clip, device)


def preparation_of(prepare: Callable[[np.ndarray], torch.Tensor]) -> Preparation | None:
    """How pictures are prepared on a GPU, if that is as open_clip prepares them."""
    height, width = prepare(np.zeros((8, 8, 3), np.uint8)).shape[1:]
    return preparation_like(lambda image: prepare(image).numpy(), (width, height), "bicubic")
