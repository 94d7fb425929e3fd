"""What the commands say of themselves."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from dataset_pipeline.cli.app import app


@pytest.mark.parametrize(("command", "section"), [("run", "[episodes]"), ("recaption", "[captions]")])
def test_help_names_sections_of_the_settings_with_their_brackets(command: str, section: str):
    assert section in CliRunner().invoke(app, [command, "--help"]).output
