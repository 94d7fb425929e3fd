"""Danbooru tags, with the WD14 family of taggers and the preprocessing of dghs-imgutils."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import peek, prepared_batches
from dataset_pipeline.models.device import onnx_device
from dataset_pipeline.models.imports import import_imgutils
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline.models.registry import Role
from dataset_pipeline.models.resource import SingleModelResource

# Danbooru's category numbers; 9 is the taggers' own number for ratings.
CATEGORIES = {0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta", 9: "rating"}


@dataclass(frozen=True)
class TagScores:
    """Probabilities of every tag the model knows: `scores` is float32 [n, T], `tags` and `categories` have length T."""

    tags: tuple[str, ...]
    categories: tuple[str, ...]
    scores: np.ndarray


class Tagger(SingleModelResource):
    """Tag probabilities; nothing is thresholded here."""

    role: ClassVar[Role] = "tagger"

    def vocabulary(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tags the model knows and the category of each. Raises WeightsMissing, ValueError for a damaged list."""
        pack, entry = self._entry()
        return _read_vocabulary(pack.file(entry, "tags"))

    def tag(self, images: Iterable[np.ndarray]) -> TagScores:
        """Probabilities for n RGB pictures [height, width, 3] uint8 of any sizes.

        Raises WeightsMissing, DeviceUnavailable, ValueError for a picture of another shape or a tag list that does not
        belong to the network.
        """
        tags, categories = self.vocabulary()
        pictures = peek(images)
        if pictures is None:
            return TagScores(tags, categories, np.zeros((0, len(tags)), np.float32))
        from PIL import Image

        runner = self._runner()
        side_px = runner.input.shape[1]
        preprocess = import_imgutils("tagging.wd14")._prepare_image_for_tagging

        def prepare(image: np.ndarray) -> np.ndarray:
            return preprocess(Image.fromarray(image), side_px)

        scores = []
        for batch in prepared_batches(pictures, prepare, self.batch_size):
            answer, runs = runner.run(np.concatenate(batch))
            if answer.shape[1] != len(tags):
                raise ValueError(f"{runner.path} gives {answer.shape[1]} scores, but its list has {len(tags)} tags")
            scores.append(answer)
            loading.count(self.role, len(batch), runs)
        return TagScores(tags, categories, np.concatenate(scores))

    def _runner(self) -> OnnxRunner:
        pack, entry = self._entry()
        device = onnx_device(self.device)
        path = pack.file(entry, "model")
        key = (pack.root, entry.name, pack.fingerprint(self.role).sha256, device, self.threads)
        return self._loaded(key, lambda: OnnxRunner(path, device, self.threads))


def _read_vocabulary(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tags, categories = [], []
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                tags.append(row["name"])
                categories.append(CATEGORIES[int(row["category"])])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: no tag name with a known category: {row}") from error
    return tuple(tags), tuple(categories)
