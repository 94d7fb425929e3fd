"""What a person said comes to the episodes it is about, and Dagster is told."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from dataset_pipeline.corrections.events import event_of
from dataset_pipeline.graph.project import correction_log
from dataset_pipeline.graph.versions import NO_ROWS, version_for
from dataset_pipeline.orchestration.corrected import Brought, bring_corrections, what_was_said
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline_tests.orchestration.test_registration import source


@pytest.fixture
def log(instance, store, settings, tmp_path: Path):
    """Two registered episodes, of which nothing was said."""
    register(instance, store, settings, [source(tmp_path), source(tmp_path, 2, "f2")])
    return correction_log(settings)


def reject(log, *images: str) -> str:
    [event] = log.append([event_of({"do": "reject", "images": list(images)})], by="a test")
    return event.id


def test_registering_brings_what_was_said_and_reports_each_episode_once(instance, store, settings, tmp_path, log):
    assert bring_corrections(instance, store, settings) == []
    reject(log, "show.e02/00000100", "show.e02/00000200")
    [event] = bring_corrections(instance, store, settings)
    assert event.partition == "show.e02"
    assert event.tags["dagster/data_version"] == store.pointer("corrections", "show.e02").data_version
    assert store.read("corrections", "show.e01").num_rows == 0
    [row] = store.read("corrections", "show.e02").to_pylist()
    assert (row["reader"], row["do"]) == ("matched_corrections", "reject")


def test_only_who_reads_a_correction_sees_another_version(instance, store, settings, log):
    def version(reader: str) -> str:
        return version_for("show.e01", "corrections", store.pointer("corrections", "show.e01"), reader)

    before = {reader: version(reader) for reader in ("distinct_frames", "crops", "matched_corrections")}
    assert set(before.values()) == {NO_ROWS}
    reject(log, "show.e01/00000100")
    bring_corrections(instance, store, settings)
    after = {reader: version(reader) for reader in before}
    assert [reader for reader in before if before[reader] != after[reader]] == ["matched_corrections"]


def test_undone_nothing_is_left_of_it(instance, store, settings, log):
    before = store.pointer("corrections", "show.e01").data_version
    event = reject(log, "show.e01/00000100")
    bring_corrections(instance, store, settings)
    log.append([event_of({"do": "undo", "event": event})], by="a test")
    bring_corrections(instance, store, settings)
    assert store.pointer("corrections", "show.e01").data_version == before
    said = what_was_said(settings, store)
    assert (len(said.log.events), said.in_force) == (2, [])


def test_a_file_that_is_corrected_in_place_is_brought(instance, store, settings, log, tmp_path: Path):
    reject(log, "show.e01/00000100")
    brought = Brought()
    brought.bring(instance, store, settings, arriving=False)
    [file] = Path(url2pathname(urlsplit(log.uri).path)).glob("*.json")
    file.write_text(file.read_text("utf-8").replace("show.e01/00000100", "show.e02/00000100"), "utf-8")
    os.utime(file, ns=(0, 1))
    found = brought.bring(instance, store, settings, arriving=False)
    assert sorted(str(event.partition) for event in found) == ["show.e01", "show.e02"]


def test_a_look_that_comes_again_reads_no_episode_while_nothing_is_new(instance, store, settings, log, monkeypatch):
    brought = Brought()
    brought.bring(instance, store, settings, arriving=False)
    monkeypatch.setattr(type(store), "pointer", lambda *_: pytest.fail("looked into an episode"))
    assert brought.bring(instance, store, settings, arriving=False) == []
    monkeypatch.undo()
    reject(log, "show.e01/00000100")
    assert [event.partition for event in brought.bring(instance, store, settings, arriving=False)] == ["show.e01"]
