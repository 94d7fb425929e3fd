"""133 points of one person: body, feet, face and hands, by DWPose, with the preprocessing of dghs-imgutils."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import overlapped, peek, prepared_batches
from dataset_pipeline.models.device import onnx_device
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline.models.registry import Role
from dataset_pipeline.models.resource import SingleModelResource

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of the colours that it was trained on
BINS_PER_PX = 2  # of the network's input, along each axis of its answer
AXES = ("simcc_x", "simcc_y")


class _Prepared(NamedTuple):
    input: np.ndarray  # float32 [3, height, width]
    scale: float  # input pixels for one of the picture
    corner: tuple[float, float]  # where the picture's corner lies in the input


class Pose(SingleModelResource):
    """Where the points of a person are. They are numbered as in COCO-WholeBody: 17 of the body, 6 of the feet, 68 of
    the face, 21 of the left hand, 21 of the right."""

    role: ClassVar[Role] = "pose"

    def points(self, images: Iterable[np.ndarray]) -> list[np.ndarray]:
        """For each RGB picture [height, width, 3] uint8 of one person and little else, float32 [133, 3]: x and y in
        pixels of the picture, and how sure it is that the point is there.

        The network was trained on a person's box with a quarter more on each axis, in 3:4; what such a picture lacks is
        filled with black. Raises WeightsMissing, DeviceUnavailable, ValueError for a picture of another shape.
        """
        pictures = peek(images)
        if pictures is None:
            return []
        runner = self._runner()
        height, width = runner.input.shape[-2:]
        batches = prepared_batches(pictures, partial(_prepared, size=(width, height)), self.batch_size)
        found = overlapped(partial(self._points, runner), batches, runner.side_by_side)
        return [points for of_batch in found for points in of_batch]

    def _points(self, runner: OnnxRunner, batch: list[_Prepared]) -> list[np.ndarray]:
        answers, runs = runner.run_several([it.input for it in batch], AXES)
        loading.count(self.role, len(batch), runs)
        found: list[np.ndarray] = []
        for x, y, it in zip(*answers, batch, strict=True):
            at = (np.stack([x.argmax(1), y.argmax(1)], 1) / BINS_PER_PX - it.corner) / it.scale
            sure = np.minimum(x.max(1), y.max(1))
            found.append(np.column_stack([at, sure]).astype(np.float32))
        return found

    def _runner(self) -> OnnxRunner:
        pack, entry = self._entry()
        device, path = onnx_device(self.device), pack.file(entry, "model")
        key = (entry.name, pack.fingerprint(self.role).sha256, device, self.threads)
        return self._loaded(key, lambda: OnnxRunner(path, device, self.threads))


def _prepared(picture: np.ndarray, size: tuple[int, int]) -> _Prepared:
    """size: width and height of the network's input."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    corner = (size[0] - scale * width) / 2, (size[1] - scale * height) / 2
    move = np.array([[scale, 0.0, corner[0]], [0.0, scale, corner[1]]])
    laid = cv2.warpAffine(picture, move, size, flags=cv2.INTER_LINEAR)
    unit = (laid - np.array(MEAN)) / np.array(DEVIATION)
    return _Prepared(np.ascontiguousarray(unit.transpose(2, 0, 1), np.float32), scale, corner)
