"""The files of a model of diffusers: a folder with a pipeline, or one file of weights with such a folder beside it.

A single file holds weights alone. What it lacks (`model_index.json`, tokenizers, configurations) is read from a folder
of its name beside it, `<file>/`, without the ending; diffusers itself would fetch it from the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_pipeline.base.errors import PermanentError

INDEX = "model_index.json"
WEIGHTS = (".safetensors", ".bin")  # in the order in which they are taken
OTHERS = (".ckpt", ".pt", ".msgpack", ".h5", ".onnx", ".onnx_data", ".pb", ".xml", ".gguf")  # of other programs
HALF = ".fp16."
_HELP = "download a pipeline (`hf download <owner>/<name> --local-dir <folder>`), or correct [generator] model"


@dataclass(frozen=True)
class PipelineFiles:
    """folder: with the pipeline's configuration; weights: the file beside it that holds them, if they lie in one."""

    folder: Path
    weights: Path | None

    @property
    def kind(self) -> str:
        """The name of the pipeline's class."""
        return str(self._index.get("_class_name", ""))

    @property
    def variant(self) -> str | None:
        """`fp16` where the weights lie there in half precision alone."""
        weights = [path.name for path in self.components() if path.suffix in WEIGHTS]
        return "fp16" if weights and any(HALF in name for name in weights) else None

    def components(self) -> Iterator[Path]:
        """The files of the pipeline's parts that are loaded, in order."""
        for name, kind in sorted(self._index.items()):
            if isinstance(kind, list) and any(kind) and (self.folder / name).is_dir():
                yield from _loaded_of(self.folder / name)

    def all(self) -> list[Path]:
        """All files that pictures depend on."""
        parts = self.components()
        if self.weights:  # weights that lie in the folder too are not taken
            parts = (path for path in parts if path.suffix not in WEIGHTS)
        return [self.folder / INDEX, *parts, *([self.weights] if self.weights else [])]

    def native_side_px(self) -> int | None:
        """What the pipeline's own configuration says of its size; None if it says nothing."""
        for net in ("unet", "transformer"):
            sides = _read(self.folder / net / "config.json").get("sample_size")
            side = min(sides) if isinstance(sides, list) and sides else sides
            if isinstance(side, int):
                return side * 2 ** (len(_read(self.folder / "vae" / "config.json").get("block_out_channels", [])) - 1)
        return None

    @property
    def _index(self) -> dict[str, Any]:
        return _read(self.folder / INDEX)


def pipeline_files(model: Path) -> PipelineFiles:
    """Of the folder or file that a user named. Raises PermanentError where it is neither."""
    if model.is_dir():
        if not (model / INDEX).is_file():
            raise PermanentError(f"{model} is no pipeline of diffusers, as it has no {INDEX}: {_HELP}")
        return PipelineFiles(model, None)
    if not model.is_file():
        raise PermanentError(f"there is nothing at {model}: {_HELP}")
    if model.suffix != ".safetensors":
        raise PermanentError(f"{model} is no .safetensors file, and files of other kinds may run code: {_HELP}")
    beside = model.with_suffix("")
    if not (beside / INDEX).is_file():
        raise PermanentError(
            f"{model} holds weights alone: put {INDEX}, the tokenizers and the config.json files of a pipeline of its "
            f"kind into {beside} (`hf download <owner>/<name> --include '*.json' '*.txt' --local-dir {beside}`)"
        )
    return PipelineFiles(beside, model)


def _loaded_of(part: Path) -> list[Path]:
    """Of weights in several formats and precisions one is loaded: safetensors before others, full before half."""
    files = sorted(path for path in part.iterdir() if path.is_file() and path.suffix not in OTHERS)
    kept = [path for path in files if path.suffix not in WEIGHTS and ".index." not in path.name]
    for suffix in WEIGHTS:
        weights = [path for path in files if path.suffix == suffix]
        if full := [path for path in weights if HALF not in path.name]:
            return [*kept, *full]
        if weights:
            return [*kept, *weights]
    return kept


def _read(path: Path) -> dict[str, Any]:
    """An empty table for a file that is not there. Raises PermanentError for one that holds something else."""
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PermanentError(f"{path} cannot be read: {error}") from None
    if not isinstance(table, dict):
        raise PermanentError(f"{path} holds no table")
    return table
