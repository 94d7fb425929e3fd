"""Pictures from ComfyUI: a workflow is sent to `/prompt`, its end read in `/history`, its picture taken from `/view`.

Each picture has an id of our own that follows from all it depends on. What the server has under that id already, or is
at work on, is not asked for again: so neither a dropped connection nor a killed run makes a picture twice.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.images.png import encode_png
from dataset_pipeline.images.resize import decode
from dataset_pipeline.models.generators.backend import Request
from dataset_pipeline.models.generators.server import QUICK_S, Server
from dataset_pipeline.models.generators.workflow import Workflow, fault_of, filled, read_workflow
from dataset_pipeline.models.service import Refused, Unanswered
from dataset_pipeline.settings import project_folder, resources_folder

NAMESPACE = uuid.UUID("5f6b8f0e-6a0b-5c8e-9c56-2b1f0c9d7a41")  # of the ids of pictures
SAMPLER, SCHEDULER = "euler", "normal"
FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 1.0  # between two looks whether a picture is there
FOLDER = "dataset_pipeline"  # within the server's temporary files
SIDE = "set [generator] side_px to what it was trained at: 512 (SD 1.5), 768 (SD 2.1), 1024 (SDXL and later)"


class ComfyUI(Server):
    title, alive = "ComfyUI", "system_stats"
    start = " (python main.py)"

    def missing(self) -> str:
        """Also why the server will not take the workflow: a node, a checkpoint, a sampler it does not have."""
        try:
            workflow = self._workflow
            if reason := self.unreachable():
                return reason
            kinds = sorted({node["class_type"] for node in workflow.values()})
            known = {kind: self.get(f"object_info/{kind}") for kind in kinds}
        except (PermanentError, Refused, ValueError) as error:
            return str(error)
        return fault_of(workflow, self._values(Request("", "", 0, 512, 512)), known)

    def facts(self, repaints: bool = False) -> dict[str, str]:
        made_by = json.dumps(self._repaint_workflow if repaints else self._workflow, sort_keys=True)
        told = json.dumps(self._metadata, sort_keys=True) if self._metadata else ""
        return {
            "model": self.settings.model,
            "sampler": self.settings.sampler or SAMPLER,
            "scheduler": self.settings.scheduler or SCHEDULER,
            "workflow": hashlib.sha256(made_by.encode()).hexdigest(),
            "metadata": hashlib.sha256(told.encode()).hexdigest() if told else "",
        }

    def native_side_px(self) -> int:
        """As the checkpoint's own header tells it (`modelspec.resolution`)."""
        sides = str(self._metadata.get("modelspec.resolution", "")).split("x")
        if all(side.isdecimal() for side in sides):
            return min(map(int, sides))
        raise PermanentError(f"ComfyUI does not tell for which size {self.settings.model!r} is made: {SIDE}")

    def draw(self, request: Request) -> np.ndarray:
        return self._drawn(filled(self._workflow, self._values(request)))

    def redraw(self, picture: np.ndarray, mask: np.ndarray, request: Request, strength: float) -> np.ndarray:
        uploaded = {"picture": self._uploaded(picture), "mask": self._uploaded(np.repeat(mask[..., None], 3, axis=2))}
        values = {**self._values(request), **uploaded, "strength": strength}
        return self._drawn(filled(self._repaint_workflow, values))

    @cached_property
    def _workflow(self) -> Workflow:
        return read_workflow(_path(self.settings.workflow, "comfyui.json"), ("prompt", "seed"))

    @cached_property
    def _repaint_workflow(self) -> Workflow:
        needed = ("prompt", "seed", "picture", "mask")
        return read_workflow(_path(self.settings.repaint_workflow, "comfyui_repaint.json"), needed)

    @cached_property
    def _metadata(self) -> Mapping[str, Any]:
        """The header of the checkpoint's file, as far as the server tells it."""
        if not self.settings.model:
            return {}
        try:
            told = self.get("view_metadata/checkpoints", params={"filename": self.settings.model})
        except (Refused, ValueError):  # a file without one
            return {}
        return told if isinstance(told, dict) else {}

    def _values(self, request: Request) -> dict[str, Any]:
        asked = self.settings
        return {
            **vars(request),
            "steps": asked.steps,
            "guidance": asked.guidance,
            "sampler": asked.sampler or SAMPLER,
            "scheduler": asked.scheduler or SCHEDULER,
            "model": asked.model,
        }

    def _drawn(self, workflow: Workflow) -> np.ndarray:
        """The picture of a workflow without slots."""
        key = json.dumps([workflow, self._metadata], sort_keys=True)
        prompt_id = str(uuid.uuid5(NAMESPACE, key))
        until = time.monotonic() + self.settings.timeout_s
        if (entry := self._ended(prompt_id)) is not None and _failure(entry):
            self._ask("history", {"delete": [prompt_id]})  # its cause may be gone by now
            entry = None
        for attempt in range(self.settings.retries + 1):
            if entry is None:
                self._submit(prompt_id, workflow)
                entry = self._awaited(prompt_id, until)
            if entry is not None:
                break
            # The server has forgotten of it: it was started anew.
            self.pause(attempt, Unanswered(f"{self.service.shown} lost the picture that it was at work on"))
        assert entry is not None
        if failure := _failure(entry):
            raise ValueError(failure)
        return self._picture(entry)

    def _submit(self, prompt_id: str, workflow: Workflow) -> None:
        """The server has the workflow in its queue, or is through with it."""
        body = {"prompt": workflow, "prompt_id": prompt_id}
        for attempt in range(self.settings.retries + 1):
            if self._queued(prompt_id) or self._ended(prompt_id) is not None:
                return
            try:
                self._once("POST", "prompt", json=body, timeout_s=QUICK_S)
                return
            except Unanswered as error:
                self.pause(attempt, error)
            except Refused as error:
                raise ValueError(_told_of_nodes(error)) from None

    def _awaited(self, prompt_id: str, until: float) -> Mapping[str, Any] | None:
        """How the work ended; None if the server does not know of it."""
        pause = FIRST_LOOK_S
        while True:
            if (entry := self._ended(prompt_id)) is not None:
                return entry
            if pause >= LONGEST_LOOK_S and not self._queued(prompt_id):
                return self._ended(prompt_id)  # it may have ended between the two looks
            if time.monotonic() > until:
                self._cancel(prompt_id)
                raise ValueError(
                    f"ComfyUI had no picture after {self.settings.timeout_s:g} s: raise [generator] timeout_s"
                )
            self.wait(pause)
            pause = min(LONGEST_LOOK_S, 2 * pause)

    def _ended(self, prompt_id: str) -> Mapping[str, Any] | None:
        entry = self.get(f"history/{prompt_id}").get(prompt_id)
        return entry if isinstance(entry, dict) else None

    def _queued(self, prompt_id: str) -> bool:
        queue = self.get("queue")
        return any(item[1] == prompt_id for item in queue["queue_running"] + queue["queue_pending"])

    def _cancel(self, prompt_id: str) -> None:
        self._ask("queue", {"delete": [prompt_id]})
        if self._queued(prompt_id):
            self._ask("interrupt", {"prompt_id": prompt_id})

    def _ask(self, path: str, body: Mapping[str, Any]) -> bytes:
        return self.again("POST", path, json=body, timeout_s=QUICK_S)

    def _picture(self, entry: Mapping[str, Any]) -> np.ndarray:
        shown = [
            (node, image)
            for node, made in (entry.get("outputs") or {}).items()
            for image in made.get("images") or []
            if image.get("type") in ("output", "temp")
        ]
        kept = [(node, image) for node, image in shown if image["type"] == "output"] or shown
        if len(kept) != 1:
            raise ValueError(
                f"the workflow gave {len(kept)} pictures where one is wanted: it takes a batch_size of 1 and a single "
                "SaveImage or PreviewImage"
            )
        [(node, image)] = kept
        where = {name: image.get(name, "") for name in ("filename", "subfolder", "type")}
        try:
            return decode(self.again("GET", "view", params=where, timeout_s=QUICK_S))
        except (Refused, ValueError) as error:
            raise ValueError(f"node {node}: {image.get('filename')}: {error}") from None

    def _uploaded(self, picture: np.ndarray) -> str:
        """The name by which a node loads a picture that the server is given."""
        data = encode_png(picture)
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.png"
        form = {"type": "temp", "subfolder": FOLDER, "overwrite": "true"}
        files = {"image": (name, data, "image/png")}
        told = self.parsed(self.again("POST", "upload/image", data=form, files=files, timeout_s=QUICK_S))
        return f"{told['subfolder']}/{told['name']} [{told['type']}]"


def _path(named: str, plain: str) -> Path:
    return project_folder() / Path(named).expanduser() if named else resources_folder() / "workflows" / plain


def _failure(entry: Mapping[str, Any]) -> str:
    """What went wrong in which node; empty if nothing did."""
    status = entry.get("status") or {}
    if status.get("status_str") != "error":
        return ""
    for event, told in status.get("messages") or []:
        if event == "execution_error":
            return (
                f"node {told.get('node_id')} ({told.get('node_type')}): {told.get('exception_type')}: "
                f"{' '.join(str(told.get('exception_message')).split())}"
            )
        if event == "execution_interrupted":
            return f"somebody stopped it at node {told.get('node_id')} ({told.get('node_type')})"
    return "ComfyUI says that it failed, and not why"


def _told_of_nodes(error: Refused) -> str:
    """What of a workflow was refused: by node and value."""
    try:
        told = json.loads(error.told)
        faults = [
            f"node {node} ({it.get('class_type')}): {fault['message']}: {fault['details']}"
            for node, it in (told.get("node_errors") or {}).items()
            for fault in it["errors"]
        ]
        return "; ".join(faults) or f"{told['error']['message']}: {told['error']['details']}"
    except (ValueError, LookupError, TypeError, AttributeError):
        return str(error)
