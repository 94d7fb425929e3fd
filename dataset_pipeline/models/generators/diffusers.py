"""Pictures from a model on this machine through diffusers, an extra of this package.

One picture at a time, as in a batch other bytes come out; its noise is drawn on the CPU, so that a seed gives the same
noise whatever the picture is made on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dataset_pipeline.base.errors import PermanentError, full_disk, is_out_of_memory
from dataset_pipeline.models import loading
from dataset_pipeline.models.checksums import sha256_of
from dataset_pipeline.models.device import Device, torch_device
from dataset_pipeline.models.generators.backend import Request, Unfit, unknown
from dataset_pipeline.models.generators.long_prompts import embedded
from dataset_pipeline.models.generators.pipeline_files import PipelineFiles, pipeline_files
from dataset_pipeline.settings import GeneratorSettings, project_folder

SPACINGS = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
EXTRA = (
    "[generator] backend = 'diffusers' wants packages that are not installed: run `uv sync --extra diffusers`, or take "
    "a server (comfyui, sdapi)"
)
NO_SIDE = (
    "does not say for which size it is made: set [generator] side_px to what it was trained at: 512 (SD 1.5), 768 "
    "(SD 2.1), 1024 (SDXL and later)"
)


class _Loaded(NamedTuple):
    draw: Any
    redraw: Any  # the same networks; None where diffusers has no such pipeline


class Diffusers:
    """device: as for all models. memory: where hashes of big files are remembered."""

    def __init__(self, settings: GeneratorSettings, device: str, keep_loaded: int, memory: Path | None) -> None:
        self.settings, self.device, self.keep_loaded, self.memory = settings, device, keep_loaded, memory

    def missing(self) -> str:
        """Without importing or loading anything."""
        if importlib.util.find_spec("diffusers") is None:
            return EXTRA
        try:
            return "" if self._files.kind else f"{self._files.folder} names no _class_name in its model_index.json"
        except PermanentError as error:
            return str(error)

    def facts(self, repaints: bool = False) -> dict[str, str]:
        files, digest = self._files, hashlib.sha256()
        for path in files.all():
            name = path.name if path == files.weights else path.relative_to(files.folder).as_posix()
            digest.update(f"{name} {sha256_of(path, self.memory)}\n".encode())
        return {
            "model": Path(self.settings.model).name,
            "weights": digest.hexdigest(),
            "sampler": self.settings.sampler,
            "scheduler": self.settings.scheduler,
        }

    def native_side_px(self) -> int:
        if side := self._files.native_side_px():
            return side
        raise PermanentError(f"{self._files.folder} {NO_SIDE}")

    def draw(self, request: Request) -> np.ndarray:
        return self._made(self._pipelines().draw, request)

    def redraw(self, picture: np.ndarray, mask: np.ndarray, request: Request, strength: float) -> np.ndarray:
        from PIL import Image

        pipeline = self._pipelines().redraw
        if pipeline is None:
            raise PermanentError(f"diffusers paints nothing again with a {self._files.kind}: take another model")
        given = {"image": Image.fromarray(picture), "mask_image": Image.fromarray(mask), "strength": strength}
        return self._made(pipeline, request, **given)

    @property
    def _files(self) -> PipelineFiles:
        if not self.settings.model:
            raise PermanentError("[generator] model is empty: name the folder or file of the model you will train on")
        return pipeline_files(project_folder() / Path(self.settings.model).expanduser())

    def _pipelines(self) -> _Loaded:
        files, device = self._files, torch_device(self.device)
        facts = self.facts()
        key = ("generator", str(files.folder), facts["weights"], facts["sampler"], facts["scheduler"], device)
        return loading.loaded(key, lambda: _load(files, self.settings, device), self.keep_loaded)

    def _made(self, pipeline: Any, request: Request, **given: Any) -> np.ndarray:
        import torch

        with torch.inference_mode():
            answer = pipeline(
                **_prompts(pipeline, request),
                **given,
                width=request.width_px,
                height=request.height_px,
                num_inference_steps=self.settings.steps,
                guidance_scale=self.settings.guidance,
                generator=torch.Generator("cpu").manual_seed(request.seed),
                output_type="np",
            )
        if any(getattr(answer, "nsfw_content_detected", None) or []):
            raise Unfit("the model's own safety checker refuses the picture: take other words or another seed")
        levels = np.asarray(answer.images[0], np.float32)
        if not np.isfinite(levels).all():
            raise Unfit("the model gave no numbers: its VAE does not work in half precision")
        return np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)


def _prompts(pipeline: Any, request: Request) -> dict[str, Any]:
    if (pieces := embedded(pipeline, request.prompt, request.negative_prompt)) is not None:
        return pieces
    if not request.negative_prompt:
        return {"prompt": request.prompt}
    if "negative_prompt" not in inspect.signature(pipeline.__call__).parameters:
        raise PermanentError(f"{type(pipeline).__name__} takes no negative prompt: leave negative_prompt empty")
    return {"prompt": request.prompt, "negative_prompt": request.negative_prompt}


def _load(files: PipelineFiles, settings: GeneratorSettings, device: Device) -> _Loaded:
    import diffusers
    import torch
    import transformers
    from diffusers.pipelines.auto_pipeline import AutoPipelineForInpainting

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    logging.getLogger("diffusers").setLevel(logging.ERROR)  # it warns of each choice that a pipeline leaves open
    kind = getattr(diffusers, files.kind, None)
    if kind is None:
        raise PermanentError(f"{files.folder}: this diffusers ({diffusers.__version__}) knows no {files.kind}")
    half = torch.float16 if (files.folder / "unet").is_dir() else torch.bfloat16
    common: dict[str, Any] = {"dtype": half if device.cuda else torch.float32, "local_files_only": True}
    try:
        if files.weights:
            pipeline = kind.from_single_file(str(files.weights), config=str(files.folder), **common)
        else:
            pipeline = kind.from_pretrained(str(files.folder), variant=files.variant, **common)
        pipeline = pipeline.to(str(device))
    except Exception as error:
        if is_out_of_memory(error) or full_disk(error) or isinstance(error, MemoryError):
            raise
        where = files.weights or files.folder
        raise PermanentError(f"{where} cannot be loaded as a {files.kind}: {' '.join(str(error).split())}") from error
    pipeline.scheduler = _scheduler(pipeline, settings)
    try:
        redraw = AutoPipelineForInpainting.from_pipe(pipeline)
    except ValueError:
        redraw = None
    for made in (pipeline, redraw):
        if made is not None:
            made.set_progress_bar_config(disable=True)
    return _Loaded(pipeline, redraw)


def _scheduler(pipeline: Any, settings: GeneratorSettings) -> Any:
    """The pipeline's own, or the one that is named, of those that fit the model. Raises PermanentError."""
    own = pipeline.scheduler
    if not (settings.sampler or settings.scheduler):
        return own
    known = {kind.__name__: kind for kind in (type(own), *getattr(own, "compatibles", []))}
    kind = known.get(settings.sampler or type(own).__name__)
    if kind is None:
        raise PermanentError(unknown("[generator] sampler", settings.sampler, known))
    spacings = {name: key for name, key in SPACINGS.items() if key in inspect.signature(kind.__init__).parameters}
    if settings.scheduler and settings.scheduler not in spacings:
        raise PermanentError(unknown(f"{kind.__name__}: [generator] scheduler", settings.scheduler, spacings))
    chosen = {spacings[settings.scheduler]: True} if settings.scheduler else {}
    try:
        return kind.from_config(own.config, **chosen)
    except (ImportError, ValueError) as error:
        raise PermanentError(f"[generator] sampler = {kind.__name__!r} cannot be used: {error}") from None
