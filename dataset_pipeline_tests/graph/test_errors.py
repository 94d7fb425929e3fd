"""One class says what is hopeless: it is not tried again, and a command prints it without a traceback."""

from __future__ import annotations

import errno
import io
import json
import shutil
import sqlite3
from types import SimpleNamespace

import dagster as dg
import pytest
import sqlalchemy
import typer

from dataset_pipeline.base import paths
from dataset_pipeline.base.errors import full_disk, writing
from dataset_pipeline.cli import app as cli
from dataset_pipeline.cli.common import FAILED
from dataset_pipeline.cli.run import finish
from dataset_pipeline.graph import framework
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.models import DeviceUnavailable, RegistryError, WeightsMissing
from dataset_pipeline.models.hub import PullFailed
from dataset_pipeline.orchestration import runs
from dataset_pipeline.reports import run_report as report
from dataset_pipeline.reports.run_report import Report
from dataset_pipeline.settings import SettingsError, load_settings
from dataset_pipeline.settings.tag_rules import RulesError
from dataset_pipeline.store.store import TableMissing, TableOutdated
from dataset_pipeline.training.exporters import ExportError
from dataset_pipeline.video.stream import HardwareMissing

HOPELESS = [
    DeviceUnavailable, ExportError, HardwareMissing, PullFailed, RegistryError, RulesError, SettingsError,
    TableMissing, TableOutdated, WeightsMissing,
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
    assert caught.value.code == FAILED
    assert "do this instead" in capsys.readouterr().err


def test_any_other_error_of_a_command_is_a_defect_and_shows_where_it_was(monkeypatch):
    def broken():
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_full_disk_is_known_through_what_was_wrapped_around_it():
    wrapped = RuntimeError("an export failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/set/1.webp")
    assert full_disk(wrapped) == "No space left on device: /set/1.webp"
    assert full_disk(PermissionError(errno.EACCES, "Permission denied", "/set")) == ""
    assert full_disk(None) == ""


def test_a_write_that_fails_names_its_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '/set/1\.webp'"), writing("/set/1.webp"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"busy: '/a'"), writing("/set/1.webp"):
        raise OSError(errno.EBUSY, "busy", "/a")


def full_history() -> Exception:
    """What SQLAlchemy raises where a database cannot grow."""
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as history:
        history.execute(sqlalchemy.text("PRAGMA max_page_count = 1"))
        with pytest.raises(sqlalchemy.exc.OperationalError) as caught:
            history.execute(sqlalchemy.text("CREATE TABLE runs (id)"))
    return caught.value


def test_a_history_of_dagster_that_cannot_grow_is_a_full_disk(tmp_path):
    assert full_disk(full_history(), "/home/.dagster") == "No space left on device: /home/.dagster"


@pytest.mark.parametrize(("free", "told"), [(4096, "No space left on device: "), (1 << 30, "")])
def test_an_input_or_output_error_of_sqlite_is_a_full_disk_only_where_the_disk_is_full(
    tmp_path, monkeypatch, free, told
):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert full_disk(error, tmp_path / "not" / "yet").startswith(told)
    assert bool(full_disk(error, tmp_path)) == bool(told)


def test_a_run_whose_history_cannot_be_written_comes_to_its_report(tmp_path, monkeypatch):
    def full(*_, **__):
        raise full_history()

    monkeypatch.setattr(runs, "materialize_assets", full)
    settings = load_settings(models__pack="demo", store__root=str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = runs.materialize_all(dg.Definitions(resources={"store": store_of(settings)}), instance, settings, [])
    [failure] = outcome.failures
    assert failure.asset == "Dagster's history"
    assert failure.error.startswith("No space left on device: ")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_sheet_that_cannot_be_written_is_a_line_of_the_report(tmp_path, monkeypatch, capsys, as_json):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(paths, "open", Full, raising=False)
    settings = load_settings(store__root=str(tmp_path / "store"), exported_set__root=str(tmp_path / "exports"))
    failures = [{"asset": "crops", "episode": "a.e01", "error": "No space left on device: /store/crops"}]
    made = Report(["a.e01"], {}, {}, failures, {}, [], [], "/set", False, 1.0)
    with pytest.raises(typer.Exit) as caught:
        finish(made, settings, as_json)
    assert caught.value.exit_code == FAILED
    told = capsys.readouterr()
    sheet = tmp_path / "exports" / "characters.jpg"
    line = f"{sheet} could not be written: No space left on device: {sheet}"
    if as_json:
        assert json.loads(told.out)["unwritten"] == [line]
        assert json.loads(told.out)["failures"] == failures
    else:
        assert line in told.err
        assert "crops failed for a.e01: No space left on device: /store/crops" in told.err


def test_a_picture_that_is_gone_costs_the_sheet_and_not_the_report(tmp_path, monkeypatch, capsys):
    def gone(store, path):
        raise TableMissing("picture crops/a.png is gone")

    monkeypatch.setattr(report, "write_character_sheet", gone)
    settings = load_settings(store__root=str(tmp_path / "store"), exported_set__root=str(tmp_path / "exports"))
    with pytest.raises(typer.Exit):
        finish(Report(["a.e01"], {}, {}, [], {}, [], [], "/set", False, 1.0), settings, False)
    told = capsys.readouterr()
    assert "crops/a.png is gone" in told.err
    assert "1 episodes in 1 s" in told.out


def test_a_full_disk_under_standard_output_is_one_line(monkeypatch, capsys):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == FAILED
    assert capsys.readouterr().err.strip() == "No space left on device: standard output"
