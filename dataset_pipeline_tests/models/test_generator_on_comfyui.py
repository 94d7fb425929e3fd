"""Pictures from a server that speaks ComfyUI's documented API, beside the test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.images.png import encode_png
from dataset_pipeline.images.resize import decode
from dataset_pipeline.models.generator import PLAIN, SAME_FAULTS, Generator, Request
from dataset_pipeline.settings import GeneratorSettings, load_settings, resources_folder
from dataset_pipeline_tests.models.loopback import DROPPED, Asked, Reply, requests, serving, told

DEFAULTS = load_settings(resources_folder() / "settings.toml").generator
CHECKPOINTS, SAMPLERS, SCHEDULERS = ["anime.safetensors", "photo.safetensors"], ["euler", "ddim"], ["normal", "karras"]
INFO: dict[str, dict[str, Any]] = {
    "CheckpointLoaderSimple": {"ckpt_name": [CHECKPOINTS, {"tooltip": "which"}]},
    "CLIPTextEncode": {"text": ["STRING", {"multiline": True}], "clip": ["CLIP"]},
    "EmptyLatentImage": {"width": ["INT", {}], "height": ["INT", {}], "batch_size": ["INT", {}]},
    "KSampler": {
        "seed": ["INT", {"max": 2**64 - 1}],
        "sampler_name": ["COMBO", {"options": SAMPLERS}],
        "scheduler": [SCHEDULERS],
        "steps": ["INT", {}],
    },
    "VAEDecode": {"samples": ["LATENT"], "vae": ["VAE"]},
    "PreviewImage": {"images": ["IMAGE"]},
}
NODES = {name: {name: {"input": {"required": inputs}}} for name, inputs in INFO.items()}


class Comfy:
    """Draws a plain picture whose colour is the seed's; what a test puts into `faults` happens to that seed."""

    def __init__(self) -> None:
        self.history: dict[str, Any] = {}
        self.prompts: list[dict[str, Any]] = []
        self.drawn: list[int] = []
        self.files: dict[str, bytes] = {}
        self.uploads: dict[str, np.ndarray] = {}
        self.faults: dict[int, str] = {}
        self.drops: list[str] = []
        self.metadata: dict[str, str] | None = None
        self.looks_until_there = 2
        self.posted: list[tuple[str, Any]] = []
        self._running: dict[str, int] = {}

    def answer(self, asked: Asked) -> Reply:
        path = asked.path.strip("/")
        if path in self.drops:
            self.drops.remove(path)
            if path == "prompt":
                self._queue(asked.json)  # it was taken, and the answer got lost
            return DROPPED
        if asked.method == "POST":
            return self._post(path, asked)
        head, _, tail = path.partition("/")
        return {
            "system_stats": lambda: Reply(body={"system": {"comfyui_version": "0.3.64"}}),
            "object_info": lambda: Reply(body=NODES.get(tail, {})),
            "queue": lambda: Reply(body={"queue_running": [[0, it, {}] for it in self._running], "queue_pending": []}),
            "history": lambda: self._look(tail),
            "view_metadata": lambda: Reply(404) if self.metadata is None else Reply(body=self.metadata),
            "view": lambda: Reply(body=self.files[asked.query["filename"]]),
        }[head]()  # fmt: skip

    def _post(self, path: str, asked: Asked) -> Reply:
        if path == "prompt":
            return self._queue(asked.json)
        if path == "upload/image":
            return self._upload(asked)
        self.posted.append((path, asked.json))
        if path == "history":
            for it in asked.json["delete"]:
                self.history.pop(it)
        return Reply()

    def _queue(self, told: dict[str, Any]) -> Reply:
        sampler = told["prompt"]["sampler"]["inputs"]
        fault = self.faults.get(sampler["seed"], "")
        if fault == "refused":
            node = {
                "class_type": "KSampler", "dependent_outputs": ["picture"],
                "errors": [{"type": "value", "message": "Value 40 bigger than max of 30", "details": "steps"}],
            }  # fmt: skip
            error = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed", "details": ""}
            return Reply(400, {"error": error, "node_errors": {"sampler": node}})
        if told["prompt_id"] in self._running:
            raise AssertionError("asked for twice")
        self.prompts.append(told)
        if fault == "forgotten":
            del self.faults[sampler["seed"]]
        else:
            self._running[told["prompt_id"]] = self.looks_until_there
        return Reply(body={"prompt_id": told["prompt_id"], "number": 1, "node_errors": {}})

    def _look(self, prompt_id: str) -> Reply:
        if prompt_id in self._running:
            self._running[prompt_id] -= 1
            if self._running[prompt_id] <= 0:
                del self._running[prompt_id]
                prompt = next(it["prompt"] for it in reversed(self.prompts) if it["prompt_id"] == prompt_id)
                self.history[prompt_id] = self._made(prompt)
        return Reply(body={it: entry for it, entry in self.history.items() if it == prompt_id})

    def _made(self, prompt: dict[str, Any]) -> dict[str, Any]:
        inputs = prompt["sampler"]["inputs"]
        fault = self.faults.get(inputs["seed"], "")
        self.drawn.append(inputs["seed"])
        if fault == "fails":
            told = {
                "node_id": "sampler", "node_type": "KSampler", "exception_type": "torch.OutOfMemoryError",
                "exception_message": "Allocation on device\n0 would exceed allowed memory",
            }  # fmt: skip
            return {"outputs": {}, "status": {"status_str": "error", "messages": [["execution_error", told]]}}
        if "latent_image" in inputs and "width" in prompt["latent"]["inputs"]:
            size = prompt["latent"]["inputs"]
            picture = np.full((size["height"], size["width"], 3), inputs["seed"], np.uint8)
        else:
            picture = np.full_like(self.uploads[prompt["before"]["inputs"]["image"]], inputs["seed"])
        name = f"{len(self.files)}.png"
        self.files[name] = b"<html>no picture</html>" if fault == "no picture" else encode_png(picture)
        images = [{"filename": name, "subfolder": "", "type": "temp"}] * (2 if fault == "two" else 1)
        status = {"status_str": "success", "completed": True, "messages": []}
        return {"outputs": {"picture": {"images": images}}, "status": status}

    def _upload(self, asked: Asked) -> Reply:
        name = re.search(rb'filename="([^"]+)"', asked.body)[1].decode()  # type: ignore[index]
        start = asked.body.index(b"\x89PNG")
        self.uploads[f"dataset_pipeline/{name} [temp]"] = decode(asked.body[start : asked.body.rindex(b"\r\n--")])
        return Reply(body={"name": name, "subfolder": "dataset_pipeline", "type": "temp"})


@pytest.fixture
def comfy() -> Comfy:
    return Comfy()


@pytest.fixture
def url(comfy: Comfy) -> Iterator[str]:
    with serving(comfy.answer) as address:
        yield address


def generator(url: str, **changes: Any) -> Generator:
    usual = {"backend": "comfyui", "model": "anime.safetensors", "url": url, "retries": 2, "timeout_s": 20.0}
    settings = GeneratorSettings.model_validate({**DEFAULTS.model_dump(), **usual, **changes})
    return Generator(settings, wait=lambda seconds: None)


def test_each_request_fills_the_slots_of_the_workflow_and_gives_its_picture(comfy: Comfy, url: str):
    made = list(generator(url, steps=7, guidance=3.5, sampler="ddim", scheduler="karras").generate(requests(5, 9)))
    assert [it.shape for it in made if isinstance(it, np.ndarray)] == [(48, 64, 3)] * 2
    assert told(made) == [5, 9]
    first = comfy.prompts[0]["prompt"]
    assert first["positive"]["inputs"]["text"] == "1girl, 5"
    assert first["negative"]["inputs"]["text"] == "bad hands"
    assert first["checkpoint"]["inputs"]["ckpt_name"] == "anime.safetensors"
    sampler = {name: value for name, value in first["sampler"]["inputs"].items() if not isinstance(value, list)}
    assert sampler == {
        "seed": 5, "steps": 7, "cfg": 3.5, "sampler_name": "ddim", "scheduler": "karras", "denoise": 1.0
    }  # fmt: skip


def test_pictures_are_made_one_by_one_and_none_before_it_is_asked_for(comfy: Comfy, url: str):
    made = generator(url).generate(requests(1, 2, 3))
    assert comfy.drawn == []
    next(made)
    assert comfy.drawn == [1]
    next(made)
    assert comfy.drawn == [1, 2]


def test_what_the_server_has_made_already_it_is_not_asked_for_again(comfy: Comfy, url: str):
    before = list(generator(url).generate(requests(1, 2)))
    after = list(generator(url).generate(requests(1, 2, 3)))
    assert comfy.drawn == [1, 2, 3]
    assert told(before + after) == [1, 2, 1, 2, 3]


def test_a_dropped_connection_makes_no_picture_twice(comfy: Comfy, url: str):
    comfy.drops = ["prompt", "queue", "view"]
    assert told(list(generator(url).generate(requests(1, 2)))) == [1, 2]
    assert comfy.drawn == [1, 2]


def test_a_server_that_was_started_anew_is_asked_again(comfy: Comfy, url: str):
    comfy.faults = {2: "forgotten"}
    assert told(list(generator(url).generate(requests(1, 2, 3)))) == [1, 2, 3]
    assert len(comfy.prompts) == 4
    assert comfy.prompts[1] == comfy.prompts[2]


def test_what_is_wrong_with_one_picture_names_its_node_and_costs_no_other(comfy: Comfy, url: str):
    comfy.faults = {2: "refused", 3: "fails", 4: "no picture", 5: "two"}
    made = told(list(generator(url).generate(requests(1, 2, 3, 4, 5, 6))))
    assert (made[0], made[5]) == (1, 6)
    assert made[1] == "node sampler (KSampler): Value 40 bigger than max of 30: steps"
    assert made[2] == (
        "node sampler (KSampler): torch.OutOfMemoryError: Allocation on device 0 would exceed allowed memory"
    )
    assert made[3].startswith("node picture: 1.png: these 23 bytes are no readable picture")
    assert made[4].startswith("the workflow gave 2 pictures where one is wanted")


def test_what_failed_is_tried_again_by_the_next_run(comfy: Comfy, url: str):
    comfy.faults = {1: "fails"}
    assert told(list(generator(url).generate(requests(1))))[0].startswith("node sampler (KSampler)")
    comfy.faults = {}
    assert told(list(generator(url).generate(requests(1)))) == [1]


def test_a_server_that_fails_on_a_plain_picture_too_is_given_up(comfy: Comfy, url: str):
    comfy.faults = dict.fromkeys(range(20), "fails")
    with pytest.raises(PermanentError, match=rf"{SAME_FAULTS} pictures and a plain one failed: node sampler"):
        list(generator(url).generate(requests(*range(20))))
    assert comfy.drawn == [*range(SAME_FAULTS), PLAIN.seed]


def test_pictures_that_fail_alike_where_a_plain_one_does_not_cost_no_other(comfy: Comfy, url: str):
    comfy.faults = dict.fromkeys(range(2, 12), "fails")
    made = told(list(generator(url).generate(requests(*range(2, 14)))))
    assert made[10:] == [12, 13]
    assert comfy.drawn == [2, 3, 4, 5, PLAIN.seed, *range(6, 14)]


def test_a_picture_that_takes_too_long_is_told_of_and_taken_out_of_the_queue(comfy: Comfy, url: str):
    comfy.looks_until_there = 10**6
    [late] = generator(url, timeout_s=0.05).generate(requests(1))
    assert str(late) == "ComfyUI had no picture after 0.05 s: raise [generator] timeout_s"
    prompt_id = comfy.prompts[0]["prompt_id"]
    assert comfy.posted == [("queue", {"delete": [prompt_id]}), ("interrupt", {"prompt_id": prompt_id})]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"model": "anmie.safetensors"},
            "[generator] model = 'anmie.safetensors' is not known here; known are anime.saf",
        ),
        ({"model": ""}, "[generator] model = '' is not known here; known are anime.safetensors, photo.safetensors"),
        ({"sampler": "dpm"}, "[generator] sampler = 'dpm' is not known here; known are ddim, euler"),
        ({"scheduler": "sgm"}, "[generator] scheduler = 'sgm' is not known here; known are karras, normal"),
        ({"url": ""}, "[generator] url is empty: write the address of ComfyUI there"),
    ],
)
def test_what_the_server_does_not_have_stops_before_any_picture(
    comfy: Comfy, url: str, changes: dict[str, str], reason: str
):
    asked = generator(**{"url": url, **changes})
    assert asked.missing().startswith(reason)
    for call in (asked.fingerprint, lambda: list(asked.generate(requests(1)))):
        with pytest.raises(PermanentError, match=re.escape(reason)):
            call()
    assert comfy.prompts == []


def test_a_server_that_is_down_is_named_with_what_to_do():
    asked = generator("http://name:secret@127.0.0.1:9")
    assert asked.missing().startswith("ComfyUI does not answer (http://127.0.0.1:9: ")
    assert asked.missing().endswith("start it (python main.py), or correct [generator] url")
    assert list(asked.generate([])) == []


def test_a_server_that_goes_down_ends_the_run_and_what_was_made_is_kept(comfy: Comfy):
    with serving(comfy.answer) as address:
        made = generator(address).generate(requests(1, 2))
        kept = next(made)
    with pytest.raises(PermanentError, match="ComfyUI does not answer"):
        next(made)
    assert told([kept]) == [1]


def test_model_settings_and_workflow_make_another_fingerprint_and_the_address_does_not(
    comfy: Comfy, url: str, tmp_path: Path
):
    plain = json.loads((resources_folder() / "workflows/comfyui.json").read_text("utf-8"))
    plain["latent"]["inputs"]["batch_size"] = 1.0
    own = tmp_path / "own.json"
    own.write_text(json.dumps(plain))
    changes: list[dict[str, Any]] = [
        {}, {"model": "photo.safetensors"}, {"steps": 9}, {"guidance": 1.5}, {"sampler": "ddim"},
        {"scheduler": "karras"}, {"workflow": str(own)},
    ]  # fmt: skip
    made = [generator(url, **change).fingerprint() for change in changes]
    assert len({it.sha256 for it in made}) == len(changes)
    assert (made[0].role, made[0].model, made[0].demo) == ("generator", "comfyui anime.safetensors", False)
    same = generator(f"{url}/", timeout_s=9.0, retries=0, sampler="euler", scheduler="normal")
    assert same.fingerprint() == made[0]
    comfy.metadata = {"modelspec.resolution": "1024x1024"}
    other = generator(url)
    assert other.fingerprint().sha256 != made[0].sha256
    assert other.native_side_px() == 1024


def test_the_native_side_is_asked_for_where_the_server_does_not_tell_it(url: str):
    with pytest.raises(PermanentError, match=r"'anime.safetensors' is made: set \[generator\] side_px"):
        generator(url).native_side_px()
    assert generator("", side_px=640).native_side_px() == 640


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ('{"nodes": [], "links": []}', "is not in the API format: in ComfyUI take Export (API)"),
        ('{"1": {"inputs": {}}}', "it wants nodes with class_type and inputs"),
        ('{"1": {"class_type": "A", "inputs": {"text": "{prompt}"}}}', "lacks the slots {seed}"),
        (
            '{"1": {"class_type": "Fancy", "inputs": {"text": "{prompt}", "seed": "{seed}"}}}',
            "node 1: the server has no node 'Fancy'",
        ),
    ],
)
def test_a_workflow_that_cannot_be_used_is_told_of_by_what_it_lacks(url: str, tmp_path: Path, text: str, reason: str):
    path = tmp_path / "own.json"
    path.write_text(text)
    assert reason in generator(url, workflow=str(path)).missing()
    assert "cannot be read" in generator(url, workflow=str(tmp_path / "none.json")).missing()


def test_a_prompt_that_looks_like_a_slot_stays_as_it_is(comfy: Comfy, url: str):
    list(generator(url).generate([Request('{seed} "quoted" {model}', "", 3, 64, 64)]))
    assert comfy.prompts[0]["prompt"]["positive"]["inputs"]["text"] == '{seed} "quoted" {model}'


def test_a_size_no_latent_has_and_a_black_picture_are_told_of(url: str):
    odd, black, fine = generator(url).generate(
        [Request("", "", 1, 65, 64), Request("", "", 0, 64, 64), Request("", "", 2, 64, 64)]
    )
    assert str(odd) == "65 x 64: both sides must be multiples of 8"
    assert str(black).startswith("the picture is black all over")
    assert isinstance(fine, np.ndarray)


def test_what_is_painted_again_changes_nothing_outside_of_the_mask(comfy: Comfy, url: str):
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    mask = np.zeros((50, 70), np.uint8)
    mask[10:20, 10:30], mask[20:22, 10:30] = 255, 128
    made = generator(url).repaint(picture, mask, Request("face", "", 200, 0, 0), 0.4)
    assert (made[mask == 255] == 200).all()
    np.testing.assert_array_equal(made[mask == 0], picture[mask == 0])
    half = np.abs(made[mask == 128] - (picture[mask == 128].astype(float) + 200) / 2)
    assert half.max() <= 1
    sent = comfy.prompts[0]["prompt"]
    assert (sent["sampler"]["inputs"]["denoise"], sent["sampler"]["inputs"]["seed"]) == (0.4, 200)
    before, over = (comfy.uploads[sent[name]["inputs"]["image"]] for name in ("before", "mask"))
    np.testing.assert_array_equal(before[:50, :70], picture)
    np.testing.assert_array_equal(over[:50, :70, 0], mask)
    assert before.shape == (64, 80, 3)
    np.testing.assert_array_equal(generator("").repaint(picture, mask * 0, Request("", "", 1, 0, 0), 0.4), picture)
