"""What a run needs, looked at one by one."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataset_pipeline.graph.project import correction_log, export_root, store_of
from dataset_pipeline.models.environment import device_report
from dataset_pipeline.models.injected import missing_weights, model_resources
from dataset_pipeline.settings import Settings, project_folder
from dataset_pipeline.store.files import StoreError

ENOUGH_GB = 10  # an episode of 24 minutes takes about 1 GB of stills and crops


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `fault`: a run would stop; `note`: worth knowing."""

    what: str
    state: Literal["ok", "note", "fault"]
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """Look at Python, the device, the weights, the disk and the folders of a project."""
    report = device_report(settings.models.device)
    findings = [
        Finding("Python", "ok", f"{report.python} on {report.system}"),
        Finding("libraries", "ok", ", ".join(f"{name} {version}" for name, version in report.libraries.items())),
        *(Finding(f"GPU {gpu.index}", "ok", f"{gpu.name}, {gpu.memory_bytes / 2**30:.0f} GiB") for gpu in report.gpus),
    ]
    if report.error:
        findings.append(Finding("device", "fault", report.error))
    else:
        for library, runs_on, problem in (
            ("torch", report.torch_runs_on, report.torch_problem),
            ("onnxruntime", report.onnx_runs_on, report.onnx_problem),
        ):
            state = "note" if problem and runs_on == "cpu" else "ok"
            detail = f"runs on {runs_on}" + (f"; no GPU because {problem}" if state == "note" else "")
            findings.append(Finding(library, state, detail))
    missing = missing_weights(model_resources(settings))
    findings += [Finding("weights", "fault", message) for message in missing]
    if not missing:
        findings.append(Finding("weights", "ok", f"all of the pack {settings.models.pack!r} are here"))
    store = store_of(settings)
    if "://" not in store.root:
        findings.append(_disk(Path(store.root)))
        findings.append(_writable("store", Path(store.root)))
    findings.append(_writable("exports", export_root(settings)))
    findings.append(_corrections(settings))
    dagster_home = Path(os.environ.get("DAGSTER_HOME") or project_folder() / ".dagster")
    findings.append(_writable("Dagster's history", dagster_home))
    if sys.platform == "win32" and len(str(Path(store.root).resolve())) > 120:
        findings.append(
            Finding("path length", "note", "the store lies deep; turn on long paths or move it nearer the root")
        )
    return findings


def _corrections(settings: Settings) -> Finding:
    """Where a person's corrections lie, which nothing else holds."""
    try:
        log = correction_log(settings)
        found = log.read()
    except (StoreError, OSError) as error:
        return Finding("corrections", "fault", f"cannot be read: {error}")
    if found.faults:
        file, why = next(iter(found.faults.items()))
        return Finding("corrections", "note", f"{len(found.faults)} do not count, as {file}: {why}")
    return Finding("corrections", "ok", f"{len(found.events)} in {log.uri}")


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    return next((parent for parent in (folder, *folder.parents) if parent.exists()), Path.cwd())


def _disk(folder: Path) -> Finding:
    free_gb = shutil.disk_usage(_existing(folder)).free / 1e9
    state = "ok" if free_gb >= ENOUGH_GB else "note"
    return Finding("disk", state, f"{free_gb:.0f} GB free for {folder}")


def _writable(what: str, folder: Path) -> Finding:
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            return Finding(what, "ok", f"{folder} can be written")
    except OSError as error:
        return Finding(what, "fault", f"{folder} cannot be written: {error}")
