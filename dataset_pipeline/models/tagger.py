"""Danbooru tags, by one or several of the taggers that dghs-imgutils knows, with its preprocessing."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import overlapped, peek, prepared_batches
from dataset_pipeline.models.device import Device, onnx_device
from dataset_pipeline.models.imports import import_imgutils
from dataset_pipeline.models.on_device import Preparation, can_prepare_on, preparation_like
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline.models.registry import ModelEntry, ModelPack, Role
from dataset_pipeline.models.resource import ModelResource

if TYPE_CHECKING:
    from PIL.Image import Image

RATING = "rating"
# Danbooru's category numbers; 9 and 10 are the taggers' own for ratings and years.
CATEGORIES = {0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta", 9: RATING, 10: "year"}
GENERAL = "0"  # of lists without categories
RATING_PREFIX = "rating:"  # DeepDanbooru's; the others say `safe`, not `rating:safe`
ML_DANBOORU_SIDE_PX = 448

Prepare = Callable[["Image"], np.ndarray]  # a picture as a batch of one


def _wd14(pack: ModelPack, entry: ModelEntry, runner: OnnxRunner) -> Prepare:
    prepare = import_imgutils("tagging.wd14")._prepare_image_for_tagging
    return lambda image: prepare(image, runner.input.shape[1])


@cache
def wd14_preparation(side_px: int) -> Preparation | None:
    """How pictures are prepared for these taggers where they run, if that is as imgutils prepares them."""
    from PIL import Image

    prepare = import_imgutils("tagging.wd14")._prepare_image_for_tagging
    size = (side_px, side_px)
    options: dict[str, Any] = {"square": True, "channels": (2, 1, 0), "last": True}
    return preparation_like(lambda it: prepare(Image.fromarray(it), side_px)[0], size, "bicubic", **options)


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


class _Network:
    """One tagger that is loaded. prepare: from an RGB picture [height, width, 3] uint8 to its input, float32."""

    def __init__(self, pack: ModelPack, entry: ModelEntry, runner: OnnxRunner, device: Device) -> None:
        self._runner, self._family = runner, FAMILIES[entry.family]
        self.side_by_side = runner.side_by_side
        self._prepared = self._family.preparation(pack, entry, runner)
        self.vocabulary = _read_vocabulary(pack.file(entry, "tags"))
        on_device = can_prepare_on(device) and self._family.preparation is _wd14
        found = wd14_preparation(runner.input.shape[1]) if on_device else None
        self.prepare: Callable[[np.ndarray], Any] = found.on(device) if found else self._by_imgutils

    def _by_imgutils(self, image: np.ndarray) -> np.ndarray:
        from PIL import Image

        return self._prepared(Image.fromarray(image))[0].astype(np.float32, copy=False)

    def scores(self, batch: list[Any]) -> np.ndarray:
        """Probabilities [b, tags] of its own tags for b inputs. Raises ValueError for a list that is another
        network's."""
        answer, runs = self._runner.run(batch, self._family.output or None)
        tags = self.vocabulary.tags
        if answer.shape[1] != len(tags):
            raise ValueError(f"{self._runner.path} gives {answer.shape[1]} scores, but its list has {len(tags)} tags")
        loading.count(Tagger.role, len(batch), runs)
        return 1 / (1 + np.exp(-answer)) if self._family.logits else answer


class Tagger(ModelResource):
    """Tag probabilities; nothing is thresholded here.

    Of several taggers each sees every picture, and a tag's probability is the mean over those whose lists have it.
    """

    role: ClassVar[Role] = "tagger"

    models: list[str] = Field([], description="Other taggers, by name in models.toml; empty = the pack's.")

    def vocabulary(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tags that the models know, and the category of each: those of the first, then what each other one adds.
        Raises WeightsMissing, ValueError for a damaged list."""
        pack = self.open_pack()
        merged = _merged([_read_vocabulary(pack.file(entry, "tags")) for entry in pack.models(self.role)])
        return merged.tags, merged.categories

    def tag(self, images: Iterable[np.ndarray]) -> TagScores:
        """Probabilities for n RGB pictures [height, width, 3] uint8 of any sizes.

        Raises WeightsMissing, DeviceUnavailable, ValueError for a picture of another shape or a tag list that does not
        belong to the network.
        """
        pictures = peek(images)
        if pictures is None:
            tags, categories = self.vocabulary()
            return TagScores(tags, categories, np.zeros((0, len(tags)), np.float32))
        pack, device = self.open_pack(), onnx_device(self.device)
        networks = [
            _Network(pack, entry, runner, device)
            for entry, runner in zip(pack.models(self.role), self._runners(pack), strict=True)
        ]
        merged = _merged([network.vocabulary for network in networks])

        def prepare(image: np.ndarray) -> list[Any]:
            return [network.prepare(image) for network in networks]

        def scores(batch: list[list[Any]]) -> np.ndarray:
            inputs = zip(*batch, strict=True)
            return merged.mean([network.scores(list(it)) for network, it in zip(networks, inputs, strict=True)])

        batches = prepared_batches(pictures, prepare, self.batch_size)
        found = np.concatenate(list(overlapped(scores, batches, networks[0].side_by_side)))
        return TagScores(merged.tags, merged.categories, found)

    def _chosen(self) -> Sequence[str]:
        return self.models

    def _runners(self, pack: ModelPack) -> list[OnnxRunner]:
        """One for each model. All are one to the loader: otherwise several would push the other roles out."""
        device = onnx_device(self.device)
        paths = [pack.file(entry, "model") for entry in pack.models(self.role)]
        fingerprint = pack.fingerprint(self.role)
        key = (pack.root, fingerprint.model, fingerprint.sha256, device, self.threads)
        return self._loaded(key, lambda: [OnnxRunner(path, device, self.threads) for path in paths])


@dataclass(frozen=True)
class _Vocabulary:
    """The tags of one list, in its order, and the category of each."""

    tags: tuple[str, ...]
    categories: tuple[str, ...]

    def keys(self) -> list[tuple[bool, str, int]]:
        """What tells a tag from others in any list: whether it is a rating, its name with spaces, and its number among
        those alike in its own list."""
        seen: Counter[tuple[bool, str]] = Counter()
        keys = []
        for tag, category in zip(self.tags, self.categories, strict=True):
            alike = (category == RATING, tag.replace("_", " "))
            keys.append((*alike, seen[alike]))
            seen[alike] += 1
        return keys


@dataclass(frozen=True)
class _Merged(_Vocabulary):
    """places: for each list where its tags stand in the merged one."""

    places: tuple[np.ndarray, ...]

    def mean(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities [b, tags] of those of each list [b, its tags]: the mean over the lists that have the tag."""
        if len(scores) == 1:
            return scores[0]
        total = np.zeros((len(scores[0]), len(self.tags)), np.float64)
        lists = np.zeros(len(self.tags), np.int64)
        for places, answer in zip(self.places, scores, strict=True):
            total[:, places] += answer
            lists[places] += 1
        return (total / lists).astype(np.float32)


def _merged(lists: Sequence[_Vocabulary]) -> _Merged:
    """All tags of the lists; a tag has the spelling and the category of the first list that has it."""
    place: dict[tuple[bool, str, int], int] = {}
    tags: list[str] = []
    categories: list[str] = []
    places = []
    for vocabulary in lists:
        keys = vocabulary.keys()
        for key, tag, category in zip(keys, vocabulary.tags, vocabulary.categories, strict=True):
            if key not in place:
                place[key] = len(tags)
                tags.append(tag)
                categories.append(category)
        places.append(np.array([place[key] for key in keys], np.int64))
    return _Merged(tuple(tags), tuple(categories), tuple(places))


def _read_vocabulary(path: Path) -> _Vocabulary:
    tags, categories = [], []
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                categories.append(CATEGORIES[int(row.get("category", GENERAL))])
                tags.append(row["name"].removeprefix(RATING_PREFIX))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: no tag name with a known category: {row}") from error
    return _Vocabulary(tuple(tags), tuple(categories))
