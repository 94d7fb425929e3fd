from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache

from dataset_pipeline.models import ModelPack, RegistryError, WeightsMissing, load_registry
from dataset_pipeline.models.hub import pull, verify
from dataset_pipeline.models.registry import ROLES, HubFile, PackageFile


def test_a_hub_file_is_owner_repository_optional_revision_and_path():
    file = HubFile.parse("deepghs/ccip_onnx@abc123/some/model.onnx")
    assert (file.repository, file.revision, file.path) == ("deepghs/ccip_onnx", "abc123", "some/model.onnx")
    assert HubFile.parse("a/b/c").revision == "main"
    for wrong in ("a/b", "a/b/../c", "a/b/", "model.onnx"):
        with pytest.raises(ValueError, match="owner"):
            HubFile.parse(wrong)


def test_both_packs_use_the_same_models_but_for_quality():
    real, demo = ModelPack.open("real"), ModelPack.open("demo")
    assert {role for role in ROLES if real.roles[role] != demo.roles[role]} == {"quality"}
    assert (real.demo, real.pullable, demo.demo, demo.pullable) == (False, True, True, False)
    assert {model.kind for model in real.models("detector")} == {"person", "halfbody", "head", "face", "hand", "eye"}


def test_detector_thresholds_are_the_defaults_of_imgutils():
    import inspect

    from dataset_pipeline.models.imports import import_imgutils

    detect = import_imgutils("detect")
    names = {
        "person": "detect_person",
        "halfbody": "detect_halfbody",
        "head": "detect_heads",
        "face": "detect_faces",
        "hand": "detect_hands",
        "eye": "detect_eyes",
    }
    for model in load_registry().models.values():
        if model.role == "detector":
            parameters = inspect.signature(getattr(detect, names[model.kind])).parameters
            assert model.conf_threshold == parameters["conf_threshold"].default, model.name
            assert model.iou_threshold == parameters["iou_threshold"].default, model.name


def test_an_override_replaces_the_detector_of_the_same_kind_and_leaves_the_others():
    pack = ModelPack.open(
        "real", overrides={"detector": ["person_detect_v1.1_n"], "tagger": "wd-eva02-large-tagger-v3"}
    )
    assert [model.name for model in pack.models("detector") if model.kind == "person"] == ["person_detect_v1.1_n"]
    assert len(pack.models("detector")) == 6
    assert pack.roles["tagger"] == ("wd-eva02-large-tagger-v3",)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(RegistryError, match=r"no pack 'rael'; there are: real, demo"):
        ModelPack.open("rael")
    with pytest.raises(RegistryError, match=r"no tagger named 'hyperiqa'; there are: wd-swinv2-tagger-v3"):
        ModelPack.open("real", overrides={"tagger": "hyperiqa"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sise_mb = 3", r"models\.x\.sise_mb: Extra inputs"),
        ('files.modle = "a/b/c"', r"a detector needs files\.model"),
        ('files.model = "c.onnx"', "owner"),
    ],
)
def test_a_mistake_in_models_toml_is_named(tmp_path: Path, line: str, message: str):
    path = tmp_path / "models.toml"
    path.write_text(
        f'[models.x]\nrole = "detector"\nkind = "head"\npurpose = ""\nlicence = ""\nsize_mb = 1\n{line}\n[packs]\n'
    )
    with pytest.raises(RegistryError, match=message) as caught:
        load_registry(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_names_role_repository_file_and_the_command(tmp_path: Path):
    pack = ModelPack.open("real", tmp_path)
    with pytest.raises(WeightsMissing) as caught:
        pack.fingerprint("identity")
    for part in ("identity", "deepghs/ccip_onnx", "model_feat.onnx", "dataset-pipeline models pull", str(tmp_path)):
        assert part in str(caught.value)


def test_files_are_found_where_the_hub_client_finds_them(onnx_pack: Path):
    pack = ModelPack.open("real", onnx_pack)
    model = pack.models("tagger")[0]
    for key, (file,) in model.files.items():
        assert str(pack.file(model, key)) == try_to_load_from_cache(file.repository, file.path, pack.hub)


def test_a_fingerprint_follows_the_content_and_nothing_else(onnx_pack: Path, tmp_path: Path):
    first = ModelPack.open("real", onnx_pack).fingerprint("tagger")
    shutil.copytree(onnx_pack, tmp_path / "copy")
    copy = ModelPack.open("real", tmp_path / "copy")
    assert copy.fingerprint("tagger") == first
    assert first.model == "wd-swinv2-tagger-v3"
    assert set(first.repositories) == {"deepghs/wd14_tagger_with_embeddings", "SmilingWolf/wd-swinv2-tagger-v3"}
    assert not first.demo

    tags = copy.file(copy.models("tagger")[0], "tags")
    tags.write_text(tags.read_text() + "9,hat,0,1\n")
    changed = copy.fingerprint("tagger")
    assert changed.sha256 != first.sha256
    assert [name for name in first.files if first.files[name] != changed.files[name]] == [
        "SmilingWolf/wd-swinv2-tagger-v3/selected_tags.csv"
    ]


def test_the_sum_of_a_big_file_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dataset_pipeline.models import checksums

    monkeypatch.setattr(checksums, "REMEMBER_FROM_BYTES", 4)
    read: list[Path] = []
    compute = checksums.sha256_of_file
    monkeypatch.setattr(checksums, "sha256_of_file", lambda path: read.append(path) or compute(path))
    big, memory = tmp_path / "big", tmp_path / "sha256.json"
    big.write_bytes(b"12345678")
    first = checksums.sha256_of(big, memory)
    checksums._KNOWN.clear()  # as in the next process
    assert checksums.sha256_of(big, memory) == first
    assert len(read) == 1
    big.write_bytes(b"123456789")
    assert checksums.sha256_of(big, memory) != first
    assert len(read) == 2


def test_a_file_that_a_python_package_brings_is_found_in_every_pack_and_pulled_by_none(tmp_path: Path):
    real, demo = ModelPack.open("real", tmp_path), ModelPack.open("demo")
    assert real.fingerprint("text_detector").sha256 == demo.fingerprint("text_detector").sha256
    [(package, version)] = real.fingerprint("text_detector").repositories.items()
    assert (package, version.split(".")[0]) == ("rapidocr", "3")
    assert pull(real, ["text_detector"]) == []
    assert [it.problem for it in verify(demo) if it.problem] == []


@pytest.mark.parametrize(
    ("package", "path", "sha256", "message"),
    [
        (
            "rapidocr",
            "rapidocr/config.yaml",
            "0" * 64,
            "sha256 0000.*install the rapidocr that pyproject.toml asks for",
        ),
        ("rapidocr", "rapidocr/nothing.onnx", "0" * 64, "nothing.onnx of the Python package rapidocr"),
        ("no-such-package", "it.onnx", "0" * 64, "no-such-package, which is not installed"),
    ],
)
def test_another_file_of_a_package_and_a_missing_one_are_told(package: str, path: str, sha256: str, message: str):
    pack = ModelPack.open("demo")
    entry = pack.models("text_detector")[0]
    other = entry.model_copy(update={"files": {"model": (PackageFile(package, path, sha256),)}})
    with pytest.raises(WeightsMissing, match=message):
        pack.file(other, "model")


@pytest.mark.parametrize("text", ["python:rapidocr/a.onnx", "python:rapidocr/../a.onnx#" + "0" * 64, "python:a#b"])
def test_a_place_in_a_package_is_written_in_one_form(text: str):
    with pytest.raises(ValueError, match="is not 'python:<package>/<path>#<sha256>'"):
        PackageFile.parse(text)
