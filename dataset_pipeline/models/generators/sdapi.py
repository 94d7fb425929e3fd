"""Pictures from a server with the API of AUTOMATIC1111: also Forge, reForge, SD.Next and stable-diffusion.cpp."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePath
from typing import Any

import numpy as np

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.images.png import encode_png
from dataset_pipeline.images.resize import decode
from dataset_pipeline.models.generators.backend import Request, unknown
from dataset_pipeline.models.generators.comfyui import SIDE
from dataset_pipeline.models.generators.server import QUICK_S, Server
from dataset_pipeline.models.service import Refused, Unanswered

SAMPLER = "Euler"
API = "sdapi/v1/"


class SdApi(Server):
    title, alive = "a server with /sdapi", f"{API}sd-models"
    start = " (AUTOMATIC1111 and Forge with --api)"

    def missing(self) -> str:
        if reason := self.unreachable():
            return reason
        try:
            _ = self._checkpoint, self._sampler, self._scheduler  # each is refused by name
        except (PermanentError, Refused, ValueError) as error:
            return str(error)
        return ""

    def facts(self, repaints: bool = False) -> dict[str, str]:
        model = self._loaded
        told = str(model.get("sha256") or model.get("hash") or "")
        return {
            "model": str(model["model_name"]),
            "weights": told if len(set(told)) > 1 else "",  # stable-diffusion.cpp writes one digit all over
            "sampler": self._sampler,
            "scheduler": self._scheduler,
        }

    def native_side_px(self) -> int:
        raise PermanentError(f"{self.service.shown} does not tell for which size its model is made: {SIDE}")

    def draw(self, request: Request) -> np.ndarray:
        return self._drawn("txt2img", self._asked(request))

    def redraw(self, picture: np.ndarray, mask: np.ndarray, request: Request, strength: float) -> np.ndarray:
        further = {
            "init_images": [_text(picture)],
            "mask": _text(mask),
            "denoising_strength": strength,
            "mask_blur": 0,
            "inpainting_fill": 1,  # begins with what is there
            "inpaint_full_res": False,
            "inpainting_mask_invert": 0,
        }
        return self._drawn("img2img", {**self._asked(request), **further})

    @cached_property
    def _checkpoint(self) -> Mapping[str, Any]:
        """What the server says of the checkpoint that is asked for, or that it has loaded if none is."""
        models = self.get(f"{API}sd-models")
        wanted = self.settings.model
        if not wanted and len(models) != 1:
            wanted = str(self.get(f"{API}options").get("sd_model_checkpoint") or "")
        for model in models:
            if not wanted or wanted in _names_of(model):
                return model
        raise PermanentError(unknown("[generator] model", wanted, (str(model["model_name"]) for model in models)))

    @cached_property
    def _loaded(self) -> Mapping[str, Any]:
        """The same once it is loaded: the server hashes a checkpoint when it first loads it."""
        model = self._checkpoint
        if model.get("sha256"):
            return model
        try:
            self.again("POST", f"{API}options", json={"sd_model_checkpoint": model["title"]})
        except Refused:  # a server that has one checkpoint only
            return model
        models = self.get(f"{API}sd-models")
        return next((it for it in models if it.get("filename") == model.get("filename")), model)

    @cached_property
    def _sampler(self) -> str:
        """Its name as the server writes it."""
        wanted, samplers = self.settings.sampler or SAMPLER, self.get(f"{API}samplers")
        for sampler in samplers:
            if wanted.lower() in (name.lower() for name in (sampler["name"], *(sampler.get("aliases") or []))):
                return sampler["name"]
        raise PermanentError(unknown("[generator] sampler", wanted, (sampler["name"] for sampler in samplers)))

    @cached_property
    def _scheduler(self) -> str:
        if not (wanted := self.settings.scheduler):
            return ""
        try:
            schedulers = self.get(f"{API}schedulers")
        except Refused:
            raise PermanentError(
                f"{self.service.shown} knows no schedulers: leave [generator] scheduler empty and name the sampler "
                "with its schedule, as 'DPM++ 2M Karras'"
            ) from None
        for scheduler in schedulers:
            if wanted.lower() in (str(scheduler.get(key) or "").lower() for key in ("name", "label")):
                return scheduler["name"]
        raise PermanentError(unknown("[generator] scheduler", wanted, (it["name"] for it in schedulers)))

    def _asked(self, request: Request) -> dict[str, Any]:
        asked = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "width": request.width_px,
            "height": request.height_px,
            "steps": self.settings.steps,
            "cfg_scale": self.settings.guidance,
            "sampler_name": self._sampler,
            "batch_size": 1,
            "n_iter": 1,
            "save_images": False,
            "send_images": True,
            "override_settings": {"sd_model_checkpoint": self._loaded["title"]},
            "override_settings_restore_afterwards": False,  # loading another one takes longer than a picture
        }
        return {**asked, "scheduler": self._scheduler} if self._scheduler else asked

    def _drawn(self, path: str, asked: Mapping[str, Any]) -> np.ndarray:
        try:
            answer = self.parsed(self.again("POST", f"{API}{path}", json=asked))
        except Refused as error:
            raise ValueError(_told(error)) from None
        except Unanswered as error:
            with contextlib.suppress(Refused, Unanswered):  # the picture is told of as late either way
                self._once("POST", f"{API}interrupt", timeout_s=QUICK_S)
            raise ValueError(f"{error}: raise [generator] timeout_s") from None
        images = answer.get("images") if isinstance(answer, dict) else None
        if not images or not isinstance(images[0], str):
            raise ValueError(f"{self.service.shown} answered without a picture")
        try:
            return decode(base64.b64decode(images[0].partition(",")[2] or images[0], validate=True))
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{self.service.shown} answered with what is no picture: {error}") from None


def _names_of(model: Mapping[str, Any]) -> set[str]:
    """By which a checkpoint may be named: title with or without its hash, name, file with or without its ending."""
    title, file = str(model.get("title") or ""), PurePath(str(model.get("filename") or "").replace("\\", "/"))
    return {title, title.partition(" [")[0], str(model.get("model_name")), file.name, file.stem} - {""}


def _text(picture: np.ndarray) -> str:
    return base64.b64encode(encode_png(picture)).decode()


def _told(error: Refused) -> str:
    """What a server says of a request it refuses: the parts that A1111, its forks and stable-diffusion.cpp name."""
    try:
        told = json.loads(error.told)
        parts = [str(told[key]) for key in ("error", "detail", "errors", "message") if told.get(key)]
    except (ValueError, TypeError, AttributeError):
        return str(error)
    return f"HTTP {error.status} {': '.join(' '.join(part.split()) for part in parts)}" if parts else str(error)
