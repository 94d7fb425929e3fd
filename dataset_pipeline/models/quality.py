"""How good a picture is technically, without a reference, with the metrics of pyiqa."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from dataset_pipeline.models import exported_metric, loading
from dataset_pipeline.models.batching import peek, prepared_batches
from dataset_pipeline.models.device import Device, torch_device
from dataset_pipeline.models.half_precision import halved
from dataset_pipeline.models.pyiqa_files import metric_of
from dataset_pipeline.models.registry import ModelEntry, RegistryError, Role, cache_folder
from dataset_pipeline.models.resource import SingleModelResource

if TYPE_CHECKING:
    import torch


class QualityMetric(SingleModelResource):
    """A score per picture, on the metric's own scale but always with higher = better: where pyiqa's metric counts
    errors, its score is negated.

    The metrics look at fixed numbers of pixels (hyperIQA at 25 crops of 224 px), so the same drawing at twice the size
    scores differently unless both are brought to one size.

    On a CPU hyperIQA runs through onnxruntime where that answers as pyiqa does (`exported_metric`), on a GPU in 16 bits
    where that moves the score of a trial picture by no more than 0.001 (`half_precision`). All others run through
    torch, whose convolutions round to TF32 on a GPU. None of this counts as another model.
    """

    role: ClassVar[Role] = "quality"

    batch_size: int = Field(4, ge=1, description="Pictures per model run; hyperIQA makes 25 crops of each.")
    short_side_px: int = Field(512, ge=0, description="Larger pictures are scaled down to this first; 0 = never.")

    def terms(self) -> dict[str, Any]:
        """What a score means, as columns of the tables that hold it: `metric`, its name in models.toml; `direction`,
        which way pyiqa's own numbers get better, "higher" or "lower", in which case a score is the negative of one; and
        `short_side_px`, to which larger pictures were scaled down."""
        _, entry = self._entry()
        direction = "lower" if entry.lower_is_better else "higher"
        return {"metric": entry.name, "direction": direction, "short_side_px": self.short_side_px}

    def score(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """float32 [n], higher = better, for n RGB pictures [height, width, 3] uint8 of any sizes.

        Pictures with a longer short side are first scaled down to `short_side_px`, each pixel the mean of its area.

        Raises WeightsMissing, DeviceUnavailable, ValueError for a picture of another shape.
        """
        pictures = peek(images)
        if pictures is None:
            return np.zeros(0, np.float32)
        import torch

        _, entry = self._entry()
        metric, device = self._metric()
        scores: list[float] = []
        for batch in prepared_batches(pictures, partial(_prepare, short_side_px=self.short_side_px), self.batch_size):
            answers = torch.zeros(len(batch))
            for positions in _by_shape(batch):
                inputs = torch.stack([batch[position] for position in positions]).to(str(device))
                answers[positions] = metric(inputs).reshape(len(positions)).float().cpu()
                loading.count(self.role, len(positions))
            scores.extend(answers.tolist())
        return np.asarray(scores, np.float32) * (-1 if entry.lower_is_better else 1)

    def _metric(self) -> tuple[Any, Device]:
        pack, entry = self._entry()
        device = torch_device(self.device)
        files = {PurePosixPath(file.path).name: path for file, path in pack.present_files(entry).values()}
        sha256 = pack.fingerprint(self.role).sha256
        key = (pack.root, entry.name, sha256, device, self.threads)

        def load() -> Any:
            load_it = partial(_load, entry, files, device)
            if entry.metric != exported_metric.METRIC:
                return load_it()
            if device.cuda:
                return halved(load_it(), device)
            roots = [pack.root, cache_folder()] if pack.pullable else [cache_folder()]
            folders = [root / exported_metric.FOLDER for root in roots]
            return exported_metric.open_metric(load_it, sha256, folders, self.threads)

        return self._loaded(key, load), device


def _prepare(image: np.ndarray, short_side_px: int) -> torch.Tensor:
    import cv2
    from PIL import Image
    from pyiqa.utils.img_util import imread2tensor

    height, width = image.shape[:2]
    scale = short_side_px / min(height, width)
    if 0 < scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return imread2tensor(Image.fromarray(image), rgb=True)


def _load(entry: ModelEntry, files: Mapping[str, Path], device: Device) -> Any:
    """pyiqa's metric. files: by the names of the files alone."""
    logging.getLogger("pyiqa").setLevel(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()):  # pyiqa prints the path of the file it loads
        model = metric_of(entry, files, str(device))
    if bool(model.lower_better) != entry.lower_is_better:
        is_lower = str(bool(model.lower_better)).lower()
        raise RegistryError(
            f"models.toml says of {entry.name!r} that lower_is_better = {str(entry.lower_is_better).lower()}, and of "
            f"pyiqa's {entry.metric!r} it is {is_lower}, so the worst would count as the best: write "
            f"lower_is_better = {is_lower} under [models.{entry.name}]"
        )
    return model


def _by_shape(batch: list[torch.Tensor]) -> list[list[int]]:
    positions: dict[tuple[int, ...], list[int]] = {}
    for position, tensor in enumerate(batch):
        positions.setdefault(tuple(tensor.shape), []).append(position)
    return list(positions.values())
