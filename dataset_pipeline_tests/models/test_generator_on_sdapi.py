"""Pictures from a server with the API of AUTOMATIC1111, beside the test."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.images.png import encode_png
from dataset_pipeline.images.resize import decode
from dataset_pipeline.models.generator import Generator, Request
from dataset_pipeline.settings import GeneratorSettings, load_settings, resources_folder
from dataset_pipeline_tests.models.loopback import DROPPED, Asked, Reply, requests, serving, told

DEFAULTS = load_settings(resources_folder() / "settings.toml").generator
SHA256 = {"anime": "ab" * 32, "photo": "cd" * 32}


class WebUi:
    """Draws a plain picture in the seed's colour. Hashes a checkpoint when it is loaded first, as A1111 does."""

    def __init__(self) -> None:
        self.loaded = "photo"
        self.hashed = {"photo"}
        self.asked: list[tuple[str, Any]] = []
        self.faults: dict[int, Reply] = {}
        self.drops = 0
        self.delay_s = 0.0
        self.without: tuple[str, ...] = ()
        self.samplers: list[dict[str, Any]] = [
            {"name": "DPM++ 2M", "aliases": ["k_dpmpp_2m"], "options": {}},
            {"name": "Euler", "aliases": ["k_euler"], "options": {}},
        ]

    def models(self) -> list[dict[str, Any]]:
        return [
            {
                "title": f"{name}.safetensors [{sha256[:10]}]" if name in self.hashed else f"{name}.safetensors",
                "model_name": name,
                "hash": sha256[:10] if name in self.hashed else None,
                "sha256": sha256 if name in self.hashed else None,
                "filename": f"C:\\models\\{name}.safetensors",
            }
            for name, sha256 in SHA256.items()
        ]

    def answer(self, asked: Asked) -> Reply:
        name = asked.path.removeprefix("/sdapi/v1/")
        if name in self.without or asked.path == f"/{name}":
            return Reply(404, {"detail": "Not Found"})
        if asked.method == "POST":
            return self._post(name, asked.json if asked.body else {})
        return Reply(
            body={
                "sd-models": self.models(),
                "options": {"sd_model_checkpoint": f"{self.loaded}.safetensors [{SHA256.get(self.loaded, '')[:10]}]"},
                "samplers": self.samplers,
                "schedulers": [{"name": "karras", "label": "Karras"}, {"name": "automatic", "label": "Automatic"}],
            }[name]
        )

    def _post(self, name: str, told: dict[str, Any]) -> Reply:
        if name in ("options", "txt2img", "img2img"):
            title = (told if name == "options" else told["override_settings"])["sd_model_checkpoint"]
            self.loaded = title.partition(".")[0]
            self.hashed.add(self.loaded)
        self.asked.append((name, told))
        if name not in ("txt2img", "img2img"):
            return Reply(body={})
        if self.drops:
            self.drops -= 1
            return DROPPED
        time.sleep(self.delay_s)
        if told["seed"] in self.faults:
            return self.faults[told["seed"]]
        picture = np.full((told["height"], told["width"], 3), told["seed"], np.uint8)
        text = base64.b64encode(encode_png(picture)).decode()
        if told["seed"] % 2:
            text = f"data:image/png;base64,{text}"
        return Reply(body={"images": [text], "info": json.dumps({"all_seeds": [told["seed"]]})})


@pytest.fixture
def web_ui() -> WebUi:
    return WebUi()


@pytest.fixture
def url(web_ui: WebUi) -> Iterator[str]:
    with serving(web_ui.answer) as address:
        yield address


def generator(url: str, **changes: Any) -> Generator:
    usual = {"backend": "sdapi", "model": "anime", "url": url, "retries": 2, "timeout_s": 20.0}
    settings = GeneratorSettings.model_validate({**DEFAULTS.model_dump(), **usual, **changes})
    return Generator(settings, wait=lambda seconds: None)


def test_each_request_gives_its_picture_with_the_checkpoint_asked_for(web_ui: WebUi, url: str):
    asked = generator(url, steps=7, guidance=3.5, sampler="k_dpmpp_2m", scheduler="Karras")
    made = list(asked.generate(requests(4, 9)))
    assert told(made) == [4, 9]
    assert [it.shape for it in made if isinstance(it, np.ndarray)] == [(48, 64, 3)] * 2
    first = next(told for name, told in web_ui.asked if name == "txt2img")
    usual = {"batch_size": 1, "n_iter": 1, "width": 64, "height": 48, "seed": 4, "steps": 7, "cfg_scale": 3.5}
    named = {"prompt": "1girl, 4", "negative_prompt": "bad hands", "sampler_name": "DPM++ 2M", "scheduler": "karras"}
    assert {**usual, **named}.items() <= first.items()
    assert first["override_settings"] == {"sd_model_checkpoint": "anime.safetensors [ababababab]"}


def test_pictures_are_made_one_by_one_and_none_before_it_is_asked_for(web_ui: WebUi, url: str):
    made = generator(url).generate(requests(1, 2, 3))
    assert web_ui.asked == []
    next(made)
    assert [told["seed"] for name, told in web_ui.asked if name == "txt2img"] == [1]


def test_a_checkpoint_has_the_same_fingerprint_before_it_was_ever_loaded(web_ui: WebUi, url: str):
    before = generator(url).fingerprint()
    list(generator(url).generate(requests(1)))
    assert generator(url).fingerprint() == before
    assert before.model == "sdapi anime"
    changes: list[dict[str, Any]] = [
        {"model": "photo"},
        {"steps": 9},
        {"guidance": 1.0},
        {"sampler": "DPM++ 2M"},
        {"scheduler": "karras"},
    ]
    others = [generator(url, **change).fingerprint().sha256 for change in changes]
    assert len({before.sha256, *others}) == 6


@pytest.mark.parametrize(
    "name", ["anime", "anime.safetensors", "anime.safetensors [ababababab]", "photo.safetensors", ""]
)
def test_a_checkpoint_goes_by_its_name_its_file_and_its_title(web_ui: WebUi, url: str, name: str):
    web_ui.hashed = {"anime", "photo"}
    assert generator(url, model=name).missing() == ""
    assert generator(url, model=name).fingerprint().model == f"sdapi {'anime' if 'anime' in name else 'photo'}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "anmie"}, "[generator] model = 'anmie' is not known here; known are anime, photo"),
        ({"sampler": "DPM"}, "[generator] sampler = 'DPM' is not known here; known are DPM++ 2M, Euler"),
        ({"scheduler": "sgm"}, "[generator] scheduler = 'sgm' is not known here; known are automatic, karras"),
        ({"url": ""}, "[generator] url is empty: write the address of a server with /sdapi there"),
    ],
)
def test_what_the_server_does_not_have_stops_before_any_picture(
    web_ui: WebUi, url: str, changes: dict[str, str], reason: str
):
    asked = generator(**{"url": url, **changes})
    assert asked.missing() == reason
    with pytest.raises(PermanentError, match=re.escape(reason)):
        list(asked.generate(requests(1)))
    assert [name for name, told in web_ui.asked if name == "txt2img"] == []


def test_a_server_without_the_api_is_told_apart_from_one_that_is_down(web_ui: WebUi, url: str):
    web_ui.without = ("sd-models",)
    assert generator(url).missing() == (
        f'{url} is not a server with /sdapi (HTTP 404 {{"detail": "Not Found"}}): start it (AUTOMATIC1111 and '
        "Forge with --api), or correct [generator] url"
    )
    assert generator("http://127.0.0.1:9").missing().startswith("a server with /sdapi does not answer (http://127.0.0.")
    web_ui.without = ("schedulers",)
    assert "knows no schedulers" in generator(url, scheduler="karras").missing()
    assert generator(url).missing() == ""


def test_what_is_wrong_with_one_picture_is_told_and_costs_no_other(web_ui: WebUi, url: str):
    memory = {"error": "OutOfMemoryError", "detail": "", "body": "", "errors": "CUDA out of memory.\nTried 2 GiB"}
    web_ui.faults = {
        2: Reply(500, memory),
        3: Reply(404, {"detail": "Sampler not found"}),
        4: Reply(body={"images": [base64.b64encode(b"no picture").decode()]}),
        5: Reply(body={"images": ["%%%"]}),
        6: Reply(body={"images": []}),
        7: Reply(body=b"<html>"),
        8: Reply(body={"images": [base64.b64encode(encode_png(np.full((8, 8, 3), 9, np.uint8))).decode()]}),
    }
    made = told(list(generator(url).generate(requests(1, 2, 3, 4, 5, 6, 7, 8, 9))))
    assert (made[0], made[8]) == (1, 9)
    assert made[1:3] == ["HTTP 500 OutOfMemoryError: CUDA out of memory. Tried 2 GiB", "HTTP 404 Sampler not found"]
    assert made[3].startswith(f"{url} answered with what is no picture: these 10 bytes are no readable picture")
    assert made[4].startswith(f"{url} answered with what is no picture: ")
    assert made[5] == f"{url} answered without a picture"
    assert made[6].startswith(f"{url} answered what is no JSON")
    assert made[7] == "8 x 8 px came where 64 x 48 were asked for"


def test_a_dropped_connection_is_tried_again_and_one_that_stays_so_costs_one_picture(web_ui: WebUi, url: str):
    web_ui.drops = 2
    assert told(list(generator(url).generate(requests(1, 2)))) == [1, 2]
    web_ui.drops = 3
    first, second = told(list(generator(url).generate(requests(1, 2))))
    assert first.startswith(f"{url}: ")
    assert second == 2


def test_a_picture_that_takes_too_long_is_stopped_and_not_asked_for_again(web_ui: WebUi, url: str):
    web_ui.delay_s = 0.4
    [late] = generator(url, timeout_s=0.1).generate(requests(1))
    assert str(late).endswith("raise [generator] timeout_s")
    assert [name for name, told in web_ui.asked if name != "options"] == ["txt2img", "interrupt"]


def test_a_server_of_one_checkpoint_needs_no_options(web_ui: WebUi):
    one = {"title": "tiny", "model_name": "tiny", "filename": "tiny.gguf", "hash": "8" * 10, "sha256": "8" * 64}
    web_ui.without = ("options",)
    web_ui.samplers = [{"name": "euler", "aliases": ["euler"], "options": {}}]
    web_ui.models = lambda: [one]  # type: ignore[method-assign]
    with serving(web_ui.answer) as address:
        assert told(list(generator(address, model="").generate(requests(3)))) == [3]
        fingerprint = generator(address, model="tiny.gguf").fingerprint()
    assert fingerprint == generator_facts("tiny")
    assert web_ui.asked[0][1]["sampler_name"] == "euler"


def generator_facts(model: str) -> Any:
    """The fingerprint of a server that tells no hash."""
    import hashlib

    from dataset_pipeline.models.registry import ModelFingerprint

    facts = {"model": model, "weights": "", "sampler": "euler", "scheduler": ""}
    key = {"backend": "sdapi", "steps": DEFAULTS.steps, "guidance": DEFAULTS.guidance, **facts}
    sha256 = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return ModelFingerprint("generator", f"sdapi {model}", {}, sha256, {}, False)


def test_what_is_painted_again_changes_nothing_outside_of_the_mask(web_ui: WebUi, url: str):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:30] = 255
    made = generator(url).repaint(picture, mask, Request("face", "", 200, 0, 0), 0.4)
    assert (made[mask == 255] == 200).all()
    np.testing.assert_array_equal(made[mask == 0], picture[mask == 0])
    name, sent = web_ui.asked[-1]
    assert (name, sent["denoising_strength"], sent["mask_blur"], sent["width"]) == ("img2img", 0.4, 0, 64)
    np.testing.assert_array_equal(decode(base64.b64decode(sent["init_images"][0])), picture)
    np.testing.assert_array_equal(decode(base64.b64decode(sent["mask"]))[..., 0], mask)


def test_the_native_side_has_to_be_said(url: str):
    with pytest.raises(PermanentError, match=r"set \[generator\] side_px"):
        generator(url).native_side_px()
