"""Boxes of people and their parts, with the YOLO files and the pre- and postprocessing of dghs-imgutils."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import overlapped, peek, prepared_batches
from dataset_pipeline.models.device import Device, onnx_device
from dataset_pipeline.models.imports import import_imgutils
from dataset_pipeline.models.on_device import Preparation, can_prepare_on, preparation_like
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline.models.registry import ModelEntry, ModelFingerprint, ModelPack, RegistryError, Role
from dataset_pipeline.models.resource import ModelResource

Size = int | tuple[int, int]
DEFAULT_INPUT_SIDE_PX = 640  # what imgutils assumes for a file that does not say


class Box(NamedTuple):
    """A detection in pixels of the picture: left, top, right, bottom, and the network's score 0..1."""

    kind: str
    x0: int
    y0: int
    x1: int
    y1: int
    score: float


class _Network(NamedTuple):
    runner: OnnxRunner
    size: Size
    labels: list[str]
    postprocess: Callable[..., list[tuple[tuple[int, int, int, int], str, float]]]


class _Prepared(NamedTuple):
    """One picture as networks of each size see it. picture_px: its width and height."""

    inputs: dict[Size, Any]
    picture_px: tuple[int, int]


class _Answers(NamedTuple):
    """What networks said of a batch, and the width and height of its pictures."""

    pictures_px: list[tuple[int, int]]
    outputs: list[tuple[ModelEntry, _Network, np.ndarray]]


class Detector(ModelResource):
    """One network per kind of box.

    All boxes above `score_floor` are given. Taking those above `default_thresholds()` gives exactly what
    imgutils.detect's functions give: its suppression lets a stronger box remove a weaker one, never the reverse. Only
    of boxes whose scores tie to the last digit another one may be left.
    """

    role: ClassVar[Role] = "detector"

    models: list[str] = Field([], description="Other detectors, by name; each replaces the pack's of the same kind.")
    score_floor: float = Field(0.1, ge=0.0, lt=1.0, description="Boxes must score more than this.")

    def kinds(self) -> tuple[str, ...]:
        """The kinds of boxes the pack can find."""
        return tuple(model.kind for model in self.open_pack().models(self.role))

    def default_thresholds(self) -> dict[str, float]:
        """The score above which imgutils counts a box as found, by kind."""
        return {model.kind: model.conf_threshold for model in self.open_pack().models(self.role)}

    def fingerprint(self, kinds: Sequence[str] | None = None) -> ModelFingerprint:
        """Which weights find these kinds; all of the pack's, if none are named. Raises WeightsMissing."""
        pack = self.open_pack()
        return pack.fingerprint(self.role, None if kinds is None else _entries(pack, kinds))

    def detect(
        self,
        images: Iterable[np.ndarray],
        kinds: Sequence[str] = ("person", "head"),
        score_floor: float | None = None,
    ) -> list[list[Box]]:
        """For each RGB picture [height, width, 3] uint8, its boxes: kind by kind as asked, the highest score first.

        `score_floor`: another one than this resource's.

        Raises WeightsMissing, DeviceUnavailable, RegistryError for a kind the pack has no network for, ValueError for
        a picture of another shape.
        """
        pack = self.open_pack()
        entries = _entries(pack, kinds)
        pictures = peek(images)
        if pictures is None:
            return []
        networks = [(entry, self._network(pack, entry)) for entry in entries]
        prepare = _preprocessing({network.size for _, network in networks}, onnx_device(self.device))
        batches = prepared_batches(pictures, prepare, self.batch_size)
        side_by_side = max((network.runner.side_by_side for _, network in networks), default=1)
        answers = overlapped(partial(self._answers, networks), batches, side_by_side)
        floor = self.score_floor if score_floor is None else score_floor
        # The networks run on the next batches while boxes are drawn from the answers for two.
        found = map_ahead(partial(_boxes, floor=floor), answers, threads=2, ahead=2)
        return [boxes for of_batch in found for boxes in of_batch]

    def _answers(self, networks: Sequence[tuple[ModelEntry, _Network]], batch: list[_Prepared]) -> _Answers:
        answers = []
        for entry, network in networks:
            outputs, runs = network.runner.run([prepared.inputs[network.size] for prepared in batch], "output0")
            loading.count(self.role, len(batch), runs)
            answers.append((entry, network, outputs))
        return _Answers([prepared.picture_px for prepared in batch], answers)

    def _chosen(self) -> Sequence[str]:
        return self.models

    def _network(self, pack: ModelPack, entry: ModelEntry) -> _Network:
        device = onnx_device(self.device)
        # All kinds are one model to the loader: otherwise a pack of five would push the other roles out.
        networks: dict[tuple[str, str], _Network] = self._loaded((pack.root, device, self.threads), dict)
        key = (entry.name, pack.fingerprint(self.role, [entry]).sha256)
        with loading.LOADING:
            if key not in networks:
                networks[key] = _load(pack, entry, device, self.threads)
        return networks[key]


def _entries(pack: ModelPack, kinds: Sequence[str]) -> list[ModelEntry]:
    known = {model.kind: model for model in pack.models("detector")}
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise RegistryError(
            f"the pack {pack.name!r} has no detector for {', '.join(unknown)}; it finds {', '.join(known)}"
        )
    return [known[kind] for kind in kinds]


def _load(pack: ModelPack, entry: ModelEntry, device: Device, threads: int) -> _Network:
    yolo = import_imgutils("generic.yolo")
    files = pack.present_files(entry)
    path = files["model"][1]
    runner = OnnxRunner(path, device, threads)
    names = yolo._safe_eval_names_str(runner.metadata["names"])
    labels = [names[position] for position in range(len(names))]
    if entry.kind not in labels:
        raise RegistryError(f"{path} finds {', '.join(labels)}, not {entry.kind!r} as models.toml says")
    size: Size = DEFAULT_INPUT_SIDE_PX
    if "imgsz" in runner.metadata:
        width, height = json.loads(runner.metadata["imgsz"])
        size = (width, height)
    family = "yolo"
    if "model_type" in files:
        family = json.loads(files["model_type"][1].read_text("utf-8"))["model_type"]
    postprocess = {"yolo": yolo._yolo_postprocess, "rtdetr": yolo._rtdetr_postprocess}[family]
    return _Network(runner, size, labels, postprocess)


def _boxes(answers: _Answers, floor: float) -> list[list[Box]]:
    """For each picture of a batch its boxes, network by network."""
    boxes: list[list[Box]] = [[] for _ in answers.pictures_px]
    for entry, network, outputs in answers.outputs:
        for row, output, picture_px in zip(boxes, outputs, answers.pictures_px, strict=True):
            row.extend(
                Box(entry.kind, *corners, score)
                for corners, label, score in network.postprocess(
                    output=output,
                    conf_threshold=floor,
                    iou_threshold=entry.iou_threshold,
                    old_size=picture_px,
                    new_size=_width_and_height(network.size),
                    labels=network.labels,
                )
                if label == entry.kind
            )
    return boxes


def _width_and_height(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _preprocessing(sizes: set[Size], device: Device) -> Callable[[np.ndarray], _Prepared]:
    on_device = {size: preparation(_width_and_height(size)) if can_prepare_on(device) else None for size in sizes}
    ways = {size: found.on(device) if found else by_imgutils(size) for size, found in on_device.items()}
    return lambda image: _Prepared({size: way(image) for size, way in ways.items()}, (image.shape[1], image.shape[0]))


def by_imgutils(size: Size) -> Callable[[np.ndarray], np.ndarray]:
    """From an RGB picture [height, width, 3] uint8 to the network's input float32 [3, h, w]."""
    from PIL import Image

    resize, encode = import_imgutils("generic.yolo")._image_preprocess, import_imgutils("data").rgb_encode
    return lambda image: encode(resize(Image.fromarray(image), size, allow_dynamic=False)[0])


@cache
def preparation(size: tuple[int, int]) -> Preparation | None:
    return preparation_like(by_imgutils(size), size, "bicubic")
