"""What `review` says where there is no page to serve."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.cli.app import app


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text(f'[models]\npack = "demo"\n[store]\nroot = "{(tmp_path / "store").as_posix()}"\n')
    return file


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_in_use_is_told_with_what_to_do(settings: Path, taken: int):
    found = CliRunner().invoke(app, ["review", "--settings", str(settings), "--port", str(taken), "--no-browser"])
    assert found.exit_code == 1
    assert f"port {taken} is in use" in found.output
    assert "--port" in found.output


def test_an_empty_store_is_told_with_what_to_do(settings: Path):
    found = CliRunner().invoke(app, ["review", "--settings", str(settings), "--port", "0", "--no-browser"])
    assert found.exit_code == 1
    assert isinstance(found.exception, PermanentError)
    assert "`dataset-pipeline run` fills it" in str(found.exception)
