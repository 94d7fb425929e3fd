"""Lines of lettering in a picture: the detection network of PP-OCR, whose file the package rapidocr brings."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import overlapped, peek, prepared_batches
from dataset_pipeline.models.device import onnx_device
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline.models.registry import Role
from dataset_pipeline.models.resource import SingleModelResource

if TYPE_CHECKING:
    from dataset_pipeline.images.text_lines import TextLine

LONG = 2.5  # long by short side, from which on a picture is a panorama and no frame
FRAME = 16 / 9  # what such a picture is looked at as large as
MULTIPLE_PX = 32  # the network halves its input five times


class _Prepared(NamedTuple):
    input: np.ndarray  # float32 [3, height, width], -1..1, blue first
    luma: np.ndarray  # uint8 [height, width]
    size_px: tuple[int, int]  # of the picture


class TextDetector(SingleModelResource):
    """Where text is written, whatever script; not what it says."""

    role: ClassVar[Role] = "text_detector"

    long_side_px: int = Field(
        640, ge=64, description="Larger pictures are scaled down to this before they are looked at."
    )
    score_floor: float = Field(0.5, ge=0.0, lt=1.0, description="Lines must score at least this.")

    def lines(self, images: Iterable[np.ndarray]) -> list[list[TextLine]]:
        """For each RGB picture [height, width, 3] uint8 of any size its lines, from top to bottom.

        The network takes any shape. So a panorama, more than 2.5 times as long as wide, is scaled by its short side, to
        that of a 16:9 frame: its letters are looked at as large as those of the frames that it was made of.

        Raises WeightsMissing, DeviceUnavailable, ValueError for a picture of another shape.
        """
        pictures = peek(images)
        if pictures is None:
            return []
        batches = prepared_batches(pictures, self._prepared, self.batch_size)
        runner = self._runner()
        found = overlapped(partial(self._lines, runner), batches, runner.side_by_side)
        return [lines for of_batch in found for lines in of_batch]

    def _lines(self, runner: OnnxRunner, batch: list[_Prepared]) -> list[list[TextLine]]:
        from dataset_pipeline.images.text_lines import text_lines

        found: list[list[TextLine]] = []
        for _, alike in groupby(batch, key=lambda it: it.input.shape):
            of_one_shape = list(alike)
            maps, runs = runner.run([it.input for it in of_one_shape])
            loading.count(self.role, len(of_one_shape), runs)
            found += [
                text_lines(one[0], it.luma, it.size_px, self.score_floor)
                for one, it in zip(maps, of_one_shape, strict=True)
            ]
        return found

    def _prepared(self, picture: np.ndarray) -> _Prepared:
        import cv2

        height, width = picture.shape[:2]
        long, short = max(height, width), min(height, width)
        share = min(1.0, self.long_side_px / (long if long <= LONG * short else short * FRAME))
        size = tuple(max(1, round(side * share / MULTIPLE_PX)) * MULTIPLE_PX for side in (width, height))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        unit = (small[..., ::-1].astype(np.float32) / 255 - 0.5) / 0.5
        luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        return _Prepared(np.ascontiguousarray(unit.transpose(2, 0, 1)), luma, (width, height))

    def _runner(self) -> OnnxRunner:
        pack, entry = self._entry()
        device, path = onnx_device(self.device), pack.file(entry, "model")
        key = (entry.name, pack.fingerprint(self.role).sha256, device, self.threads)
        return self._loaded(key, lambda: OnnxRunner(path, device, self.threads))
