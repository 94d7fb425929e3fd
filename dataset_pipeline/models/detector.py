"""Boxes of people and their parts, with the YOLO files and the pre- and postprocessing of dghs-imgutils."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import peek, prepared_batches
from dataset_pipeline.models.device import Device, onnx_device
from dataset_pipeline.models.imports import import_imgutils
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


class Detector(ModelResource):
    """One network per kind of box.

    All boxes above `score_floor` are given. Taking those above `default_thresholds()` gives exactly what
    imgutils.detect's functions give: its suppression lets a stronger box remove a weaker one, never the reverse.
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
        prepare = _preprocessing({network.size for _, network in networks})
        found: list[list[Box]] = []
        for batch in prepared_batches(pictures, prepare, self.batch_size):
            boxes: list[list[Box]] = [[] for _ in batch]
            for entry, network in networks:
                inputs = np.stack([prepared[network.size][0] for prepared in batch])
                outputs, runs = network.runner.run(inputs, "output0")
                loading.count(self.role, len(batch), runs)
                for row, output, prepared in zip(boxes, outputs, batch, strict=True):
                    _, old_size, new_size = prepared[network.size]
                    row.extend(
                        Box(entry.kind, *corners, score)
                        for corners, label, score in network.postprocess(
                            output=output,
                            conf_threshold=self.score_floor if score_floor is None else score_floor,
                            iou_threshold=entry.iou_threshold,
                            old_size=old_size,
                            new_size=new_size,
                            labels=network.labels,
                        )
                        if label == entry.kind
                    )
            found.extend(boxes)
        return found

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


def _preprocessing(sizes: set[Size]) -> Callable[[np.ndarray], dict[Size, Any]]:
    from PIL import Image

    resize = import_imgutils("generic.yolo")._image_preprocess
    encode = import_imgutils("data").rgb_encode

    def prepare(image: np.ndarray) -> dict[Size, Any]:
        prepared = {}
        for size in sizes:
            resized, old_size, new_size = resize(Image.fromarray(image), size, allow_dynamic=False)
            prepared[size] = (encode(resized), old_size, new_size)
        return prepared

    return prepare
