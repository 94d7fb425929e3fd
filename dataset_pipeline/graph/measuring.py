"""Running a model over the pictures that it has not seen yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.progress import track
from dataset_pipeline.graph.pictures import Pictures
from dataset_pipeline.graph.result import Result
from dataset_pipeline.store.left_out import UNMEASURED, answered, first_reasons, reason_of
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.reuse import Reuse, measure_missing
from dataset_pipeline.store.schemas import MEASURED_KEY
from dataset_pipeline.store.store import MEASURED_SUFFIX

# So many pictures are handed to a model at a time; what is measured is saved in between.
CHUNK_PICTURES = 128

EVERY_PICTURE_WAS_MEASURED = "every_picture_was_measured"  # the check of each asset that runs a model over pictures


class Measuring(Pictures):
    """The part of a step that asks models, each about a picture once."""

    def measure(
        self,
        role: str,
        wanted: list[dict],
        compute: Callable[[Any, Iterator[np.ndarray]], Iterable[dict]],
        keyed_by: str = "",
        seen_as: Callable[[str, np.ndarray], np.ndarray] | None = None,
    ) -> Result:
        """Run a model over the pictures of `wanted` (image_id, pixel_sha256, path) that it has not seen yet.

        `compute(model, pictures)` yields one payload for each picture, in order. `keyed_by` names the settings section
        that changes what is measured. `seen_as(image_id, picture)` gives what is shown to the model. Returns the rows
        of the wanted pictures and how many were measured and reused. A picture that is gone or damaged, or that the
        model fails on alone, has no row: the check EVERY_PICTURE_WAS_MEASURED names it. Raises the error of a model
        that fails on a plain picture too.
        """
        model = self.model(role)
        paths = {row["image_id"]: row["path"] for row in wanted}
        left_out: dict[str, str] = {}

        def picture(image_id: str) -> np.ndarray:
            pixels = self.picture(paths[image_id])
            return seen_as(image_id, pixels) if seen_as else pixels

        def pictures(some: Iterable[str]) -> Iterator[np.ndarray]:
            asked = list(some)
            for image_id, pixels in zip(asked, self.pictures([paths[it] for it in asked]), strict=True):
                yield seen_as(image_id, pixels) if seen_as else pixels

        def missing(image_ids: list[str]) -> Iterable[dict | None]:
            def payloads() -> Iterator[dict | None]:
                for start in range(0, len(image_ids), CHUNK_PICTURES):
                    chunk = image_ids[start : start + CHUNK_PICTURES]
                    answers = answered(chunk, picture, pictures, lambda some: compute(model, some))
                    failed = zip(chunk, answers, strict=False)  # too few answers are told of by who takes them
                    left_out.update((image_id, reason_of(it)) for image_id, it in failed if isinstance(it, Exception))
                    yield from (None if isinstance(answer, Exception) else answer for answer in answers)

            yield from track(payloads(), self.declaration.name, len(image_ids))

        algorithm = str(self.declaration.algorithm)
        if keyed_by:
            if keyed_by not in self.declaration.settings:
                raise LookupError(f"{self.declaration.name} does not declare that it reads the settings [{keyed_by}]")
            algorithm += f"-{self._work.settings.section_hash(keyed_by)}"
        table, reuse = self.measure_once(wanted, model.fingerprint().sha256, algorithm, missing)
        numbers: dict[str, Number] = {"measured": reuse.measured, "reused": reuse.reused}
        if left_out:
            numbers[UNMEASURED] = len(left_out)
        return Result(table, numbers, {EVERY_PICTURE_WAS_MEASURED: first_reasons(left_out)}, left_out=left_out)

    def measure_once(
        self,
        wanted: Sequence[Mapping[str, Any]],
        sha256: str,
        algorithm: str,
        compute: Callable[[list[str]], Iterable[dict[str, Any] | None]],
        table: str = "",
    ) -> tuple[pa.Table, Reuse]:
        """This asset's rows for the wanted images (rows with image_id and pixel_sha256), as `measure_missing` of the
        store gives them: what was answered once is kept for good by picture, sha256 and algorithm. table: whose rows
        these are, if not this asset's."""
        keys = pa.table({name: pa.array([row[name] for row in wanted], pa.string()) for name in MEASURED_KEY[:2]})
        name = table or self.declaration.name
        return measure_missing(self._work.store, name, self.episode, keys, sha256, algorithm, compute)

    def measured_keys(self) -> set[tuple[str, ...]]:
        """(image_id, pixel_sha256, model_sha256, algorithm) of everything this asset was ever answered."""
        table = self._work.store.previous(f"{self.declaration.name}{MEASURED_SUFFIX}", self.episode)
        return set() if table is None else set(zip(*(table[name].to_pylist() for name in MEASURED_KEY), strict=True))
