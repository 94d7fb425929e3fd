"""`dataset-pipeline dev`: the web UI on the project's own history."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dataset_pipeline.cli.app import app
from dataset_pipeline.settings import PACKAGE

ANSWERS_WITHIN_S = 90.0
ASSET = "import dagster as dg\n@dg.asset\ndef kept() -> None: ...\n"
MATERIALIZATIONS = '{assetOrError(assetKey:{path:["kept"]}){...on Asset{assetMaterializations{runId}}}}'
ENTRY = [sys.executable, "-c", "from dataset_pipeline.cli.app import main; main()"]


@pytest.mark.parametrize("chosen", [None, "mine"])
def test_the_web_ui_is_opened_on_the_projects_folder_or_on_a_home_that_was_named(tmp_path, monkeypatch, chosen):
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    if chosen:
        monkeypatch.setenv("DAGSTER_HOME", chosen)
    asked: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(
        "dataset_pipeline.cli.dev.become", lambda command, environment: asked.append((command, environment))
    )
    assert CliRunner().invoke(app, ["dev", "--port", "4000"]).exit_code == 0
    [(command, environment)] = asked
    assert command == [sys.executable, "-m", "dagster", "dev", "--port", "4000"]
    assert environment["DAGSTER_HOME"] == (chosen or str(tmp_path))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def asked(port: int, query: str) -> Any:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["data"]


@contextmanager
def web_ui(project: Path, log: Path) -> Iterator[int]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*ENTRY, "dev", "--port", str(port)],
            cwd=project,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A shell lets what it starts in the background ignore the interrupt, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process,
    ):
        try:
            until = time.monotonic() + ANSWERS_WITHIN_S
            while time.monotonic() < until and process.poll() is None:
                try:
                    if asked(port, MATERIALIZATIONS)["assetOrError"]:
                        break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.5)
            yield port
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="processes are interrupted in another way there")
def test_what_was_made_is_there_after_the_web_ui_was_opened_again(tmp_path):
    """It is told of no temporary folder, leaves none, and the command line's history is the same."""
    shutil.copy(PACKAGE.parent / "dagster.yaml", tmp_path)
    (tmp_path / "made.py").write_text(ASSET)
    (tmp_path / "workspace.yaml").write_text("load_from: [{python_file: made.py}]")
    log = tmp_path / "log.txt"
    with web_ui(tmp_path, log) as port:
        home = os.environ | {"DAGSTER_HOME": str(tmp_path)}
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "--select", "kept", "-f", "made.py"]
        subprocess.run(command, cwd=tmp_path, env=home, check=True, capture_output=True)
        [made] = asked(port, MATERIALIZATIONS)["assetOrError"]["assetMaterializations"]
    with web_ui(tmp_path, log) as port:
        assert asked(port, MATERIALIZATIONS)["assetOrError"]["assetMaterializations"] == [made]
    assert not re.search("temporary|persist", log.read_text())
    assert not list(tmp_path.glob(".tmp_dagster_home_*"))
