"""Pictures from tiny pipelines of diffusers, which are real but for what they have learnt."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.models import loading
from dataset_pipeline.models.generator import Generator, Request
from dataset_pipeline.models.generators import diffusers as backend
from dataset_pipeline.models.generators.long_prompts import pieces_of
from dataset_pipeline.models.generators.pipeline_files import pipeline_files
from dataset_pipeline.settings import GeneratorSettings, load_settings, resources_folder
from dataset_pipeline_tests.models.tiny_pipelines import tiny_sd, tiny_sdxl

DEFAULTS = load_settings(resources_folder() / "settings.toml").generator
KILLED_AFTER_TWO = """
import os, sys, torch
from pathlib import Path
torch.set_num_threads(1)
from dataset_pipeline_tests.models.test_generator_on_diffusers import REQUESTS, generator, sha256
begun = [generator(Path(model)).generate(REQUESTS) for model in sys.argv[1:]]
for made in begun:
    print(sha256(next(made)), sha256(next(made)), flush=True)
os._exit(9)
"""


def generator(model: Path | str, **changes: Any) -> Generator:
    usual = {"backend": "diffusers", "model": str(model), "steps": 2}
    return Generator(GeneratorSettings.model_validate({**DEFAULTS.model_dump(), **usual, **changes}), device="cpu")


def request(seed: int = 1, **changes: Any) -> Request:
    usual = {"prompt": "1girl, smile", "negative_prompt": "bad", "seed": seed, "width_px": 64, "height_px": 48}
    return Request(**{**usual, **changes})


REQUESTS = [request(seed, width_px=width) for seed, width in ((1, 64), (2, 48), (3, 64), (1, 64))]


def sha256(picture: np.ndarray | Exception) -> str:
    assert isinstance(picture, np.ndarray), picture
    return hashlib.sha256(picture.tobytes()).hexdigest()


def written(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


INDEX = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
INDEX |= {"vae": ["diffusers", "AutoencoderKL"], "safety_checker": [None, None]}
CONFIGS = {"model_index.json": INDEX, "unet/config.json": {"sample_size": 96}}
CONFIGS |= {"vae/config.json": {"block_out_channels": [8, 8, 8, 8]}}


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    asked = generator(written(tmp_path, CONFIGS))
    assert "run `uv sync --extra diffusers`, or take a server" in asked.missing()
    with pytest.raises(PermanentError, match="uv sync --extra diffusers"):
        next(asked.generate([request()]))


def test_what_is_no_model_is_named_with_what_to_do(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    written(tmp_path, {"model.ckpt": b"x", "model.safetensors": b"x", "broken/model_index.json": b"{"})
    written(tmp_path, {"nameless/model_index.json": {}})
    for name, reason in {
        "": "[generator] model is empty: name the folder or file of the model you will train on",
        "nowhere": f"there is nothing at {tmp_path / 'nowhere'}: download a pipeline (`hf download",
        "empty": f"{tmp_path / 'empty'} is no pipeline of diffusers, as it has no model_index.json: download",
        "model.ckpt": f"{tmp_path / 'model.ckpt'} is no .safetensors file, and files of other kinds may run code",
        "model.safetensors": f"{tmp_path / 'model.safetensors'} holds weights alone: put model_index.json",
        "broken": f"{tmp_path / 'broken' / 'model_index.json'} cannot be read",
        "nameless": f"{tmp_path / 'nameless'} names no _class_name",
    }.items():
        asked = generator(tmp_path / name if name else "")
        assert asked.missing().startswith(reason)
        with pytest.raises(PermanentError, match=re.escape(reason)):
            asked.fingerprint()


def test_what_is_loaded_makes_the_fingerprint_and_what_is_not_does_not(tmp_path: Path):
    folder = written(
        tmp_path / "sd",
        {
            **CONFIGS,
            "unet/diffusion_pytorch_model.safetensors": b"full",
            "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
            "unet/diffusion_pytorch_model.bin": b"pickle",
            "vae/diffusion_pytorch_model.bin": b"pickle",
        },
    )
    before = generator(folder).fingerprint()
    assert (before.role, before.model) == ("generator", "diffusers sd")
    assert generator(folder).native_side_px() == 768
    assert generator(folder, side_px=512).native_side_px() == 512
    written(folder, {"unet/diffusion_pytorch_model.fp16.safetensors": b"other", "unet/model.onnx": b"x"})
    written(folder, {"unet/diffusion_pytorch_model.bin": b"other", "notes/model.safetensors": b"x"})
    assert generator(folder).fingerprint() == before
    seen = {before.sha256}
    for name in ("unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.bin", "unet/config.json"):
        written(folder, {name: b'{"sample_size": 64}'})
        seen.add(generator(folder).fingerprint().sha256)
    changes: list[dict[str, Any]] = [{"steps": 3}, {"guidance": 1.0}, {"sampler": "X"}, {"scheduler": "karras"}]
    seen |= {generator(folder, **change).fingerprint().sha256 for change in changes}
    assert len(seen) == 8


def test_a_single_file_is_read_with_the_folder_of_its_name(tmp_path: Path):
    folder = written(tmp_path / "photo.v2", {**CONFIGS, "unet/model.safetensors": b"not taken"})
    written(tmp_path, {"photo.v2.safetensors": b"weights"})
    asked = generator(tmp_path / "photo.v2.safetensors")
    assert asked.missing() == ""
    assert asked.native_side_px() == 768
    before = asked.fingerprint()
    written(folder, {"unet/model.safetensors": b"other"})
    assert asked.fingerprint() == before
    written(tmp_path, {"photo.v2.safetensors": b"other weights"})
    assert asked.fingerprint() != before


def test_half_precision_is_taken_where_there_is_no_other(tmp_path: Path):
    folder = written(tmp_path, {**CONFIGS, "unet/m.fp16.safetensors": b"x", "vae/m.fp16.safetensors": b"x"})
    assert pipeline_files(folder).variant == "fp16"
    written(folder, {"unet/m.safetensors": b"x", "vae/m.safetensors": b"x"})
    assert pipeline_files(folder).variant is None


def test_a_model_that_does_not_tell_its_size_is_asked_for_it(tmp_path: Path):
    folder = written(tmp_path, {"model_index.json": {"_class_name": "FluxPipeline"}, "transformer/config.json": {}})
    with pytest.raises(PermanentError, match=r"set \[generator\] side_px"):
        generator(folder).native_side_px()


def test_long_prompts_are_cut_between_tags_and_keep_every_word():
    def tokens_in(text: str) -> int:
        return len(re.findall(r"\w+|,", text))

    tags = ", ".join(f"tag {number}" for number in range(40))
    pieces = pieces_of(tags, tokens_in, 20)
    assert all(tokens_in(piece) <= 20 for piece in pieces)
    assert " ".join(pieces) == tags
    assert all(piece.endswith(",") for piece in pieces[:-1])
    sentence = "word " * 50
    assert [tokens_in(piece) for piece in pieces_of(sentence, tokens_in, 20)] == [20, 20, 10]
    assert pieces_of("", tokens_in, 20) == [""]
    assert pieces_of("a, b", tokens_in, 20) == ["a, b"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [make(tmp_path_factory.mktemp("pipeline")) for make in (tiny_sd, tiny_sdxl)]


@pytest.fixture(params=[0, 1], ids=["sd", "sdxl"])
def model(request: pytest.FixtureRequest, models: list[Path]) -> Path:
    return models[request.param]


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.thorough
@pytest.mark.usefixtures("threads")
def test_a_run_that_is_killed_goes_on_with_the_same_bytes(models: list[Path]):
    torch.set_num_threads(1)  # as in the other process: the last digit hangs on their number
    command = [sys.executable, "-c", KILLED_AFTER_TWO, *map(str, models)]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert killed.returncode == 9, killed.stderr
    for model, line in zip(models, killed.stdout.splitlines(), strict=True):
        gone_on = [sha256(it) for it in generator(model).generate(REQUESTS[2:])]
        loading.reset_calls()
        whole = [sha256(it) for it in generator(model).generate(REQUESTS)]
        assert line.split() + gone_on == whole
        assert whole[0] == whole[3]
        assert len(set(whole)) == 3
        assert loading.CALLS == {"generator.pictures": 4, "generator.runs": 4}


@pytest.mark.thorough
def test_a_picture_depends_on_all_that_is_asked_for_and_on_nothing_before_it(model: Path):
    asked = [request(), request(prompt="1boy"), request(negative_prompt=""), request(2), request(width_px=80)]
    made = list(generator(model).generate(asked))
    assert [it.shape for it in made if isinstance(it, np.ndarray)] == [(48, 64, 3)] * 4 + [(48, 80, 3)]
    assert len({sha256(it) for it in made}) == 5
    assert sha256(next(generator(model).generate(asked[3:]))) == sha256(made[3])
    for changes in ({"steps": 3}, {"guidance": 2.0}, {"sampler": "DDIMScheduler"}):
        assert sha256(next(generator(model, **changes).generate(asked))) != sha256(made[0])
    assert generator(model).native_side_px() == 64


@pytest.mark.thorough
def test_an_unknown_sampler_is_refused_with_those_that_fit(model: Path):
    with pytest.raises(PermanentError, match=r"sampler = 'Euler' is not known here; known are EDMEulerSch"):
        next(generator(model, sampler="Euler").generate([request()]))
    with pytest.raises(PermanentError, match=r"scheduler = 'kar' is not known here; known are karras"):
        next(generator(model, sampler="EulerDiscreteScheduler", scheduler="kar").generate([request()]))
    plain, karras = (
        next(generator(model, steps=4, sampler="EulerDiscreteScheduler", scheduler=name).generate([request()]))
        for name in ("", "karras")
    )
    assert sha256(plain) != sha256(karras)


@pytest.mark.thorough
def test_no_word_of_a_long_prompt_is_lost(model: Path):
    tags = ", ".join(f"tag{number}" for number in range(40))
    made = list(
        generator(model).generate(
            [
                request(prompt=tags, negative_prompt=""),
                request(prompt=f"{tags}, red", negative_prompt=""),
                request(prompt="1girl", negative_prompt=tags),
                request(prompt="1girl", negative_prompt=f"{tags}, red"),
            ]
        )
    )
    assert len({sha256(it) for it in made}) == 4


@pytest.mark.thorough
def test_what_is_painted_again_changes_under_the_mask_alone(model: Path):
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    mask = np.zeros((50, 70), np.uint8)
    mask[8:40, 8:56] = 255
    made = generator(model, steps=4).repaint(picture, mask, request(5), 0.6)
    np.testing.assert_array_equal(made[mask == 0], picture[mask == 0])
    assert (made[mask == 255] != picture[mask == 255]).any(axis=-1).mean() > 0.9
    np.testing.assert_array_equal(made, generator(model, steps=4).repaint(picture, mask, request(5), 0.6))


@pytest.mark.thorough
def test_a_picture_that_the_models_checker_blacks_out_is_told_of_and_a_broken_model_stops(tmp_path: Path):
    model = tiny_sd(tmp_path, refuses=True)
    refused = list(generator(model).generate([request(), request(2)]))
    assert [str(it) for it in refused] == [
        "the model's own safety checker refuses the picture: take other words or another seed"
    ] * 2
    (model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"broken")
    with pytest.raises(PermanentError, match="cannot be loaded as a StableDiffusionPipeline"):
        next(generator(model).generate([request()]))
