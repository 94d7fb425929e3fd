"""The generator: pictures from text by a program of the user's own, one at a time, each by its own request alone."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.models import loading
from dataset_pipeline.models.generators.backend import Backend, Request, Unfit
from dataset_pipeline.models.generators.comfyui import ComfyUI
from dataset_pipeline.models.generators.diffusers import Diffusers
from dataset_pipeline.models.generators.sdapi import SdApi
from dataset_pipeline.models.registry import ModelFingerprint
from dataset_pipeline.settings import GeneratorSettings
from dataset_pipeline.store.left_out import is_of_one, reason_of

ROLE = "generator"
SAME_FAULTS = 4  # one after the other; the next may fail alike, or these had something in common
PLAIN = Request("a grey wall", "", 1, 512, 512)  # a picture that no generator has reason to fail on
SIDE_STEP_PX = 16  # what is painted again is made this much of a multiple: latents are of 8, some models' of 16


@dataclass
class Generator:
    """No model of a pack: the user's base model, which `[generator]` names. Nothing is loaded or asked before it is
    needed.

    device, keep_loaded: as for the other models. memory: where hashes of big files are remembered; None = nowhere.
    `wait` sleeps so many seconds.
    """

    settings: GeneratorSettings
    device: str = "auto"
    keep_loaded: int = 6
    memory: Path | None = None
    wait: Callable[[float], None] = time.sleep

    def missing(self) -> str:
        """Why no picture can be made, and what to do, on one line; empty if one can."""
        return self._backend.missing()

    def fingerprint(self, repaints: bool = False) -> ModelFingerprint:
        """What pictures depend on beside their requests; repaints: what is drawn again. Raises PermanentError where
        there is no generator."""
        self._check()
        asked, facts = self.settings, self._backend.facts(repaints)
        key = {"backend": asked.backend, "steps": asked.steps, "guidance": asked.guidance, **facts}
        sha256 = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return ModelFingerprint(ROLE, f"{asked.backend} {facts['model']}".strip(), {}, sha256, {}, False)

    def native_side_px(self) -> int:
        """The side of the squares that the model was trained on, or `[generator] side_px`. Raises PermanentError."""
        if self.settings.side_px:
            return self.settings.side_px
        self._check()
        return self._backend.native_side_px()

    def generate(self, requests: Iterable[Request]) -> Iterator[np.ndarray | Exception]:
        """RGB uint8 [height_px, width_px, 3] for each request, in order, each made only when it is asked for.

        What is wrong with one picture stands in its place, as an exception. Raises PermanentError for what is wrong
        with all: no generator, a server that is down, or a fault that came SAME_FAULTS times on end and to a plain
        picture too.
        """
        waiting = iter(requests)
        first = next(waiting, None)
        if first is None:
            return
        self._check()
        faults: list[str] = []
        of_one: set[str] = set()  # faults that a plain picture did not have
        for request in chain([first], waiting):
            made = self._made(request)
            yield made
            if not isinstance(made, Exception):
                faults = []
            elif not isinstance(made, Unfit):
                faults = [*faults, reason_of(made)][-SAME_FAULTS:]
                if faults == [faults[-1]] * SAME_FAULTS and faults[-1] not in of_one:
                    if isinstance(self._made(PLAIN), Exception):
                        raise PermanentError(f"{SAME_FAULTS} pictures and a plain one failed: {faults[-1]}")
                    of_one.add(faults[-1])

    def repaint(self, picture: np.ndarray, mask: np.ndarray, request: Request, strength: float) -> np.ndarray:
        """The picture, RGB uint8 [h, w, 3], drawn again by the request's prompts and seed where the mask, uint8
        [h, w], is 255; between 0 and 255 both are mixed, and where it is 0 the picture stays as it is, exactly.

        strength: 0 to 1, how much is drawn anew. The request's sides do not count. Raises ValueError for what is
        wrong with this picture, PermanentError for what is wrong with all.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or mask.shape != picture.shape[:2]:
            raise ValueError(f"a picture of {picture.shape} and a mask of {mask.shape} do not fit each other")
        if not mask.any():
            return picture.copy()
        self._check()
        height, width = picture.shape[:2]
        rest = [(0, -side % SIDE_STEP_PX) for side in (height, width)]
        whole = np.pad(picture, [*rest, (0, 0)], mode="edge")
        sized = Request(request.prompt, request.negative_prompt, request.seed, whole.shape[1], whole.shape[0])
        redrawn = _checked(self._backend.redraw(whole, np.pad(mask, rest), sized, strength), whole.shape[:2])
        loading.count(ROLE, 1)
        share = mask[..., None].astype(np.float32) / 255
        mixed = picture + share * (redrawn[:height, :width].astype(np.float32) - picture)
        return np.rint(mixed).astype(np.uint8)

    @cached_property
    def _backend(self) -> Backend:
        if self.settings.backend == "diffusers":
            return Diffusers(self.settings, self.device, self.keep_loaded, self.memory)
        return (ComfyUI if self.settings.backend == "comfyui" else SdApi)(self.settings, self.wait)

    def _check(self) -> None:
        if reason := self.missing():
            raise PermanentError(reason)

    def _made(self, request: Request) -> np.ndarray | Exception:
        try:
            if (request.width_px % 8, request.height_px % 8) != (0, 0):
                raise Unfit(f"{request.width_px} x {request.height_px}: both sides must be multiples of 8")
            picture = self._backend.draw(request)
            own = self.settings.backend == "comfyui" and self.settings.workflow
            size = None if own else (request.height_px, request.width_px)
            loading.count(ROLE, 1)
            return _checked(picture, size)
        except Exception as error:
            if is_of_one(error):
                return error
            raise


def _checked(picture: np.ndarray, size: tuple[int, ...] | None) -> np.ndarray:
    """size: height and width in px that it must have; None = any, as a workflow of one's own may scale pictures."""
    if size is not None and picture.shape[:2] != size:
        height, width = picture.shape[:2]
        raise ValueError(f"{width} x {height} px came where {size[1]} x {size[0]} were asked for")
    if not picture.any():
        raise Unfit("the picture is black all over: a safety checker or a VAE in half precision does that")
    return picture
