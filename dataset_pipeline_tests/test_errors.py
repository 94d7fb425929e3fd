"""One class says what is hopeless: it is not tried again, and a command prints it without a traceback."""

from __future__ import annotations

import dagster as dg
import pytest

from dataset_pipeline import cli
from dataset_pipeline.assets import framework
from dataset_pipeline.models import DeviceUnavailable, RegistryError, WeightsMissing
from dataset_pipeline.settings import SettingsError
from dataset_pipeline.store.store import TableMissing, TableOutdated
from dataset_pipeline.tags.rules import RulesError
from dataset_pipeline.training.exporters import ExportError
from dataset_pipeline.video.stream import HardwareMissing

HOPELESS = [
    DeviceUnavailable, ExportError, HardwareMissing, RegistryError, RulesError, SettingsError, TableMissing,
    TableOutdated, WeightsMissing,
]  # fmt: skip


@pytest.mark.parametrize("kind", HOPELESS)
def test_what_is_hopeless_is_not_tried_again(monkeypatch, kind):
    def hopeless(made, step):
        raise kind("do this instead")

    monkeypatch.setattr(framework, "materialize", hopeless)
    with pytest.raises(dg.Failure, match="do this instead") as caught:
        framework._alone(None, None)
    assert not caught.value.allow_retries


@pytest.mark.parametrize("kind", HOPELESS)
def test_a_command_prints_what_is_hopeless_and_no_traceback(monkeypatch, capsys, kind):
    def hopeless():
        raise kind("do this instead")

    monkeypatch.setattr(cli, "app", hopeless)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == cli.FAILED
    assert "do this instead" in capsys.readouterr().err


def test_any_other_error_of_a_command_is_a_defect_and_shows_where_it_was(monkeypatch):
    def broken():
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()
