"""Danbooru tags, by any of the taggers that dghs-imgutils knows, with its preprocessing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import peek, prepared_batches
from dataset_pipeline.models.device import onnx_device
from dataset_pipeline.models.imports import import_imgutils
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline.models.registry import ModelEntry, ModelPack, Role
from dataset_pipeline.models.resource import SingleModelResource

if TYPE_CHECKING:
    from PIL.Image import Image

# Danbooru's category numbers; 9 and 10 are the taggers' own for ratings and years.
CATEGORIES = {0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta", 9: "rating", 10: "year"}
GENERAL = "0"  # of lists without categories
RATING_PREFIX = "rating:"  # DeepDanbooru's; the others say `safe`, not `rating:safe`
ML_DANBOORU_SIDE_PX = 448

Prepare = Callable[["Image"], np.ndarray]  # a picture as a batch of one


def _wd14(pack: ModelPack, entry: ModelEntry, runner: OnnxRunner) -> Prepare:
    prepare = import_imgutils("tagging.wd14")._prepare_image_for_tagging
    return lambda image: prepare(image, runner.input.shape[1])


def _deepdanbooru(pack: ModelPack, entry: ModelEntry, runner: OnnxRunner) -> Prepare:
    return import_imgutils("tagging.deepdanbooru")._image_preprocess


def _ml_danbooru(pack: ModelPack, entry: ModelEntry, runner: OnnxRunner) -> Prepare:
    module = import_imgutils("tagging.mldanbooru")
    return lambda image: module._to_tensor(module._resize_align(image, ML_DANBOORU_SIDE_PX, keep_ratio=False))[None]


def _by_file(pack: ModelPack, entry: ModelEntry, runner: OnnxRunner) -> Prepare:
    """As the model's own preprocess.json says: its `stages`, or those of its `test` set."""
    path = pack.file(entry, "preprocess")
    try:
        content = json.loads(path.read_text("utf-8"))
        stages = content["stages"] if "stages" in content else content["test"]
        prepare = import_imgutils("preprocess").create_pillow_transforms(stages)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say how pictures are prepared: {error}") from error
    return lambda image: prepare(image)[None]


@dataclass(frozen=True)
class Family:
    """How the taggers of one family are run. output: "" = the first. logits: the output is not a probability yet."""

    preparation: Callable[[ModelPack, ModelEntry, OnnxRunner], Prepare]
    output: str = ""
    logits: bool = False


# By the `family` of models.toml.
FAMILIES: Mapping[str, Family] = {
    "wd14": Family(_wd14),
    "deepdanbooru": Family(_deepdanbooru),
    "ml_danbooru": Family(_ml_danbooru, "output", logits=True),
    "pixai": Family(_by_file, "prediction"),
    "camie": Family(_by_file, "output"),
    "timm": Family(_by_file, "prediction"),
}


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
        pack, entry = self._entry()
        family = FAMILIES[entry.family]
        prepared = family.preparation(pack, entry, runner)

        def prepare(image: np.ndarray) -> np.ndarray:
            return prepared(Image.fromarray(image)).astype(np.float32, copy=False)

        scores = []
        for batch in prepared_batches(pictures, prepare, self.batch_size):
            answer, runs = runner.run(np.concatenate(batch), family.output or None)
            if answer.shape[1] != len(tags):
                raise ValueError(f"{runner.path} gives {answer.shape[1]} scores, but its list has {len(tags)} tags")
            scores.append(1 / (1 + np.exp(-answer)) if family.logits else answer)
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
                categories.append(CATEGORIES[int(row.get("category", GENERAL))])
                tags.append(row["name"].removeprefix(RATING_PREFIX))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: no tag name with a known category: {row}") from error
    return tuple(tags), tuple(categories)
