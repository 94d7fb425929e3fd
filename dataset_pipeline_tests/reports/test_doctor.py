"""Each thing that `doctor` checks, found good and found bad."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dataset_pipeline.models.environment import DeviceReport, Gpu
from dataset_pipeline.reports import doctor
from dataset_pipeline.reports.doctor import Finding, examine
from dataset_pipeline.settings import Settings, load_settings

REPORT = DeviceReport(
    asked="auto",
    python="3.11.7",
    system="Linux",
    libraries={"torch": "2.15.0", "timm": "1.0"},
    driver_gpus=0,
    gpus=(),
    torch_cuda="",
    torch_problem="",
    torch_runs_on="cuda:0",
    onnx_providers_listed=(),
    onnx_providers_used=(),
    onnx_problem="",
    onnx_runs_on="cuda:0",
    error="",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        models__pack="demo", store__root=str(tmp_path / "store"), exported_set__root=str(tmp_path / "exports")
    )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Sets what the machine is like: a good one, but for what is given."""

    def set_up(missing: tuple[str, ...] = (), free_gb: float = 100.0, **changes: Any) -> None:
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "history"))
        monkeypatch.setattr(doctor, "device_report", lambda device: replace(REPORT, **changes))
        monkeypatch.setattr(doctor, "missing_weights", lambda resources: list(missing))
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free_gb * 1e9))

    set_up()
    return set_up


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(settings)}


def test_a_good_machine_has_nothing_but_good_findings(settings, machine):
    findings = found(settings)
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert list(findings) == [
        "Python", "libraries", "torch", "onnxruntime", "weights", "disk", "store", "exports",
        "corrections", "Dagster's history",
    ]  # fmt: skip
    assert findings["Python"].detail == "3.11.7 on Linux"
    assert findings["libraries"].detail == "torch 2.15.0, timm 1.0"
    assert findings["torch"].detail == "runs on cuda:0"


def test_each_gpu_is_named_with_its_memory(settings, machine):
    machine(gpus=(Gpu(0, "H", 80 * 2**30, 0), Gpu(1, "K", 24 * 2**30, 0)))
    findings = found(settings)
    assert (findings["GPU 0"].detail, findings["GPU 1"].detail) == ("H, 80 GiB", "K, 24 GiB")


def test_a_device_that_is_not_there_is_a_fault(settings, machine):
    machine(error="there is no GPU 3")
    findings = found(settings)
    assert findings["device"] == Finding("device", "fault", "there is no GPU 3")
    assert not {"torch", "onnxruntime"} & findings.keys()


@pytest.mark.parametrize(("library", "short"), [("torch", "torch"), ("onnxruntime", "onnx")])
def test_a_library_that_has_to_run_on_the_cpu_is_noted_with_the_reason(settings, machine, library, short):
    machine(**{f"{short}_runs_on": "cpu", f"{short}_problem": "the driver is too old"})
    findings = found(settings)
    assert findings[library] == Finding(library, "note", "runs on cpu; no GPU because the driver is too old")
    assert [it.what for it in findings.values() if it.state != "ok"] == [library]


def test_weights_that_are_missing_are_a_fault_each(settings, machine):
    machine(missing=("the tagger is not here", "the embedder is not here"))
    faults = [finding for finding in examine(settings) if finding.what == "weights"]
    assert [(it.state, it.detail) for it in faults] == [
        ("fault", "the tagger is not here"), ("fault", "the embedder is not here"),
    ]  # fmt: skip


def test_the_shipped_weights_are_found(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "device_report", lambda device: REPORT)
    assert found(settings)["weights"] == Finding("weights", "ok", "all of the pack 'demo' are here")


@pytest.mark.parametrize(("free_gb", "state"), [(doctor.ENOUGH_GB, "ok"), (doctor.ENOUGH_GB - 1, "note")])
def test_a_disk_with_little_space_is_noted(settings, machine, free_gb, state):
    machine(free_gb=free_gb)
    finding = found(settings)["disk"]
    assert (finding.state, finding.detail) == (state, f"{free_gb} GB free for {settings.store.root}")


@pytest.mark.parametrize(
    ("what", "folder"), [("store", "store"), ("exports", "exports"), ("Dagster's history", "history")]
)
def test_a_folder_that_cannot_be_written_is_a_fault(settings, machine, tmp_path, monkeypatch, what, folder):
    (tmp_path / folder).mkdir()

    def temporary(dir: Path) -> Any:
        if dir == tmp_path / folder:
            raise PermissionError(13, "Permission denied")
        return open(os.devnull)

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", temporary)
    findings = found(settings)
    assert findings[what].state == "fault"
    assert findings[what].detail.startswith(f"{tmp_path / folder} cannot be written: ")
    assert [it.what for it in findings.values() if it.state != "ok"] == [what]


def test_disk_and_writing_are_not_asked_of_an_object_store(settings, machine):
    findings = found(settings.model_copy(update={"store": settings.store.model_copy(update={"root": "memory://x"})}))
    assert not {"disk", "store"} & findings.keys()


def test_a_store_that_lies_deep_is_noted_on_windows_alone(settings, machine, tmp_path, monkeypatch):
    deep = settings.model_copy(
        update={"store": settings.store.model_copy(update={"root": str(tmp_path / ("d" * 120))})}
    )
    assert "path length" not in found(deep)
    monkeypatch.setattr(doctor.sys, "platform", "win32")
    assert found(deep)["path length"].state == "note"
