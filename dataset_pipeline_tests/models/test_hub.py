from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dataset_pipeline.models import ModelPack, RegistryError, WeightsMissing
from dataset_pipeline.models.hub import PullFailed, PullProgress, list_models, pull, verify

TAGGER_REPOSITORY = "deepghs/wd14_tagger_with_embeddings"
LIST_REPOSITORY = "SmilingWolf/wd-swinv2-tagger-v3"
MODEL_PATH = "SmilingWolf/wd-swinv2-tagger-v3/model.onnx"


@dataclass
class Hub:
    """The parts of the hub's HTTP interface that huggingface_hub uses to download a file of a model repository."""

    commits: dict[str, str]
    contents: dict[str, bytes]
    url: str = ""
    downloads: list[str] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    damage: bool = False


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub(
        commits={TAGGER_REPOSITORY: "a" * 40, LIST_REPOSITORY: "b" * 40},
        contents={
            f"{TAGGER_REPOSITORY}/{MODEL_PATH}": b"network" * 100,
            f"{LIST_REPOSITORY}/selected_tags.csv": b"t,n\n",
        },
    )

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            parts = self.path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                name = "/".join(parts[2:4])
                state.resolved.append(name)
                self.answer(200, json.dumps({"id": name, "sha": state.commits[name], "siblings": []}).encode())
                return
            name, commit, path = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
            content = state.contents.get(f"{name}/{path}")
            if content is None or commit != state.commits[name]:
                self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=state.commits[name])
                return
            etag = hashlib.sha256(content).hexdigest()
            if self.command == "GET":
                state.downloads.append(path)
                if state.damage:
                    content = content[:-1] + b"!"
            self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=commit)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield state
        server.shutdown()


def test_pull_fetches_once_records_commits_and_sums_and_works_although_offline_is_set(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    pack = ModelPack.open("real", tmp_path)
    seen: list[PullProgress] = []
    pull(pack, ["tagger"], progress=seen.append, endpoint=hub.url)
    assert constants.HF_HUB_OFFLINE is True
    assert sorted(hub.downloads) == [MODEL_PATH, "selected_tags.csv"]
    assert [(step.number, step.total, step.size_bytes) for step in seen] == [
        (1, 2, None),
        (1, 2, 700),
        (2, 2, None),
        (2, 2, 4),
    ]
    lock = json.loads((tmp_path / "models.lock.json").read_text())
    assert lock["commits"] == {f"{TAGGER_REPOSITORY}@main": "a" * 40, f"{LIST_REPOSITORY}@main": "b" * 40}
    model = f"hub/models--deepghs--wd14_tagger_with_embeddings/snapshots/{'a' * 40}/{MODEL_PATH}"
    assert lock["files"][model] == hashlib.sha256(b"network" * 100).hexdigest()
    assert pack.fingerprint("tagger").repositories == {TAGGER_REPOSITORY: "a" * 40, LIST_REPOSITORY: "b" * 40}
    assert [check.problem for check in verify(pack)] == ["", ""]

    pull(pack, ["tagger"], endpoint=hub.url)
    assert len(hub.downloads) == 2


def test_the_lock_holds_its_commit_until_an_update_is_asked_for(hub: Hub, tmp_path: Path):
    pack = ModelPack.open("real", tmp_path)
    pull(pack, ["tagger"], endpoint=hub.url)
    hub.commits[TAGGER_REPOSITORY] = "c" * 40
    hub.resolved.clear()
    pull(pack, ["tagger"], endpoint=hub.url)
    assert hub.resolved == []
    assert pack.fingerprint("tagger").repositories[TAGGER_REPOSITORY] == "a" * 40
    pull(pack, ["tagger"], update=True, endpoint=hub.url)
    assert pack.fingerprint("tagger").repositories[TAGGER_REPOSITORY] == "c" * 40
    assert [check.problem for check in verify(pack)] == ["", ""]
    assert {name.split("/snapshots/")[1][0] for name in json.loads(pack.record.read_text())["files"]} == {"b", "c"}


def test_a_file_the_hub_does_not_have_is_named_and_nothing_becomes_visible(hub: Hub, tmp_path: Path):
    del hub.contents[f"{LIST_REPOSITORY}/selected_tags.csv"]
    pack = ModelPack.open("real", tmp_path)
    with pytest.raises(PullFailed, match=r"'wd-swinv2-tagger-v3' has no such file .*selected_tags\.csv"):
        pull(pack, ["tagger"], endpoint=hub.url)
    with pytest.raises(WeightsMissing):
        pack.fingerprint("tagger")
    assert not pack.record.exists()


def test_the_first_file_that_the_repository_has_is_taken_and_absent_optional_ones_are_left_out(
    hub: Hub, tmp_path: Path
):
    clip, person = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "deepghs/anime_person_detection"
    hub.commits |= {clip: "d" * 40, person: "e" * 40}
    hub.contents |= {
        f"{clip}/open_clip_config.json": b"{}",
        f"{clip}/open_clip_pytorch_model.bin": b"weights",
        f"{person}/person_detect_v1.1_m/model.onnx": b"onnx",
    }
    pack = ModelPack.open("real", tmp_path)
    pull(pack, ["embedder"], endpoint=hub.url)
    assert pack.file(pack.models("embedder")[0], "weights").name == "open_clip_pytorch_model.bin"
    with pytest.raises(PullFailed, match="anime_halfbody_detection"):
        pull(pack, ["detector"], endpoint=hub.url)
    assert "person_detect_v1.1_m/model.onnx" in hub.downloads


def test_a_download_that_arrives_damaged_is_removed_and_refused(hub: Hub, tmp_path: Path):
    hub.damage = True
    pack = ModelPack.open("real", tmp_path)
    with pytest.raises(PullFailed, match=r"model\.onnx arrived damaged"):
        pull(pack, ["tagger"], endpoint=hub.url)
    hub.damage = False
    pull(pack, ["tagger"], endpoint=hub.url)
    assert [check.problem for check in verify(pack)] == ["", ""]


def test_a_hub_that_cannot_be_reached_is_an_error_that_names_the_file(tmp_path: Path):
    with pytest.raises(PullFailed, match=r"model\.onnx of deepghs/wd14_tagger_with_embeddings .* could not be fetched"):
        pull(ModelPack.open("real", tmp_path), ["tagger"], endpoint="http://127.0.0.1:9")


def test_a_tampered_and_a_missing_file_are_named(hub: Hub, tmp_path: Path):
    pack = ModelPack.open("real", tmp_path)
    pull(pack, ["tagger"], endpoint=hub.url)
    model, tags = (pack.file(pack.models("tagger")[0], key) for key in ("model", "tags"))
    model.write_bytes(b"tampered")
    tags.unlink()
    problems = {check.path.name: check.problem for check in verify(pack) if check.problem}
    assert problems["model.onnx"].startswith(f"sha256 is {hashlib.sha256(b'tampered').hexdigest()}, recorded is ")
    assert problems["selected_tags.csv"] == "missing"


@pytest.mark.parametrize("name", ["../precious", "/etc/passwd", "C:\\precious", "hub/../../precious", "", "a\0b"])
def test_a_record_of_another_machine_names_only_files_of_the_pack(hub: Hub, tmp_path: Path, name: str):
    (tmp_path / "precious").write_bytes(b"not ours")
    pack = ModelPack.open("real", tmp_path / "pack")
    pull(pack, ["tagger"], endpoint=hub.url)
    record = json.loads(pack.record.read_text())
    record["files"][name] = hashlib.sha256(b"not ours").hexdigest()
    pack.record.write_text(json.dumps(record))
    [problem] = [check.problem for check in verify(pack) if check.problem]
    assert "was not read" in problem


@pytest.mark.parametrize("commit", ["../../x", "main", "a" * 39, "/" + "a" * 39])
def test_a_record_names_commits_and_no_folder(hub: Hub, tmp_path: Path, commit: str):
    pack = ModelPack.open("real", tmp_path)
    pull(pack, ["tagger"], endpoint=hub.url)
    record = json.loads(pack.record.read_text())
    record["commits"][f"{TAGGER_REPOSITORY}@main"] = commit
    pack.record.write_text(json.dumps(record))
    with pytest.raises(PullFailed, match=rf"models\.lock\.json: commits, {TAGGER_REPOSITORY}@main: .* is no commit"):
        pull(pack, ["tagger"], endpoint=hub.url)
    reference = next(pack.hub.glob("*/refs/main"))
    reference.write_text("../../../x")
    with pytest.raises(RegistryError, match=r"refs/main names .* which is no commit"):
        pack.fingerprint("tagger")


@pytest.mark.parametrize("text", ["", "[]", "{", "5", "[" * 100_000, '{"files": 5}', '{"files": {"a": 5}}', "\0"])
def test_a_record_that_is_none_is_named(hub: Hub, tmp_path: Path, text: str):
    pack = ModelPack.open("real", tmp_path)
    pack.record.write_text(text)
    for call in (lambda: verify(pack), lambda: pull(pack, ["tagger"], endpoint=hub.url)):
        with pytest.raises(PullFailed, match=r"models\.lock\.json"):
            call()


def test_a_shipped_pack_is_not_pulled_and_a_pack_without_a_record_cannot_be_verified(tmp_path: Path):
    with pytest.raises(RegistryError, match="nothing to pull"):
        pull(ModelPack.open("demo"))
    with pytest.raises(FileNotFoundError, match=r"models\.lock\.json does not exist"):
        verify(ModelPack.open("real", tmp_path))


def test_the_list_tells_what_is_used_and_what_is_there(onnx_pack: Path):
    statuses = {status.entry.name: status for status in list_models(ModelPack.open("real", onnx_pack))}
    assert (statuses["hyperiqa"].used, statuses["hyperiqa"].present, statuses["hyperiqa"].size_bytes) == (
        True,
        False,
        0,
    )
    assert (statuses["wd-swinv2-tagger-v3"].present, statuses["musiq"].used) == (True, False)
    assert statuses["wd-swinv2-tagger-v3"].size_bytes > 1000
    assert [status.entry.role for status in statuses.values()] == sorted(
        (status.entry.role for status in statuses.values()),
        key=("embedder", "detector", "identity", "quality", "tagger", "text_detector", "pose").index,
    )
