"""What a pointer says of how a table came about stays to the last byte as it was recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dataset_pipeline.graph.catalog import PipelineAsset
from dataset_pipeline.graph.declaration import Declaration, Kind
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.orchestration.registration import write_source
from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.pointers import pointer_path
from dataset_pipeline.store.provenance import OF_AN_ASSET, Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

EPISODE = "show.e01"
OF_AN_EARLIER_VERSION: dict[str, Any] = {"code_version": "1-abc", "inputs": {}, "models": [{"sha256": "m"}]}
OF_A_LATER_VERSION: dict[str, Any] = {"code_version": "9-abc", "weather": {"rain": [1, None]}, "recorded": ["x"]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def made(store: Store, episode: str, result: Result) -> None:
    """Crops of an episode, made as a run makes them."""
    declaration = Declaration("crops", Kind.DECIDE, (), ("crops",))
    asset = PipelineAsset(declaration, lambda step: result, "crops", frozenset(), {}, None)
    resources = SimpleNamespace(store=store, settings=load_settings())
    materialize(asset, Step(declaration, resources, episode, None, [episode]))


def whole_store(store: Store) -> None:
    """A source, tables with and without anything to tell, a side table, and tables of other versions."""
    source = Source(EPISODE, "show", "e01", "Show", "01", Path("/show/01.mkv"), "video", 9, 0, "f1")
    write_source(store, load_settings(), source)
    made(store, EPISODE, Result(SCHEMAS["crops"].empty()))
    made(store, "show.e02", Result(SCHEMAS["crops"].empty(), {"kept": 0}, {}, {"a": "b"}, {"show.e02/1": "gone"}))
    for name, score in (("a", 0.5), ("b", 0.25)):
        row = {"image_id": name, "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1", "score": score}
        store.add_rows("quality_scores__measured", SCHEMAS["quality_scores"].table([row]), EPISODE)
    store.write("tags", SCHEMAS["tags"].empty(), EPISODE)
    store.write("stills", SCHEMAS["stills"].empty(), EPISODE, Provenance.from_json(OF_AN_EARLIER_VERSION))
    store.write("images", SCHEMAS["images"].empty(), EPISODE, Provenance.from_json(OF_A_LATER_VERSION))


def test_every_pointer_of_a_store_is_written_again_to_the_last_byte(store, tmp_path):
    whole_store(store)
    found = sorted(tmp_path.glob("_pointers/*/*.json"))
    assert len(found) == 7
    for path in found:
        before = path.read_bytes()
        told = json.loads(before)
        asset, episode = path.parent.name, path.stem
        pointer = store.pointer(asset, episode)
        assert pointer is not None
        assert pointer.provenance.to_json() == told["provenance"]
        table = store.read(asset, episode)
        path.unlink()
        assert store.write(asset, table, episode, pointer.provenance).pointer == pointer
        assert path.read_bytes() == before, path


def test_what_an_asset_makes_records_every_field_even_if_it_holds_nothing(store):
    whole_store(store)
    told, told_more = (store.pointer("crops", episode).provenance for episode in (EPISODE, "show.e02"))
    assert told.to_json().keys() == OF_AN_ASSET
    assert told_more.to_json().keys() == {*OF_AN_ASSET, "left_out"}
    assert (told.faults, told.demo, told.left_out) == ({}, False, {})


def test_a_pointer_that_records_no_provenance_is_sound(store, tmp_path):
    store.write("tags", SCHEMAS["tags"].empty(), EPISODE)
    path = tmp_path / pointer_path("tags", EPISODE)
    without = {name: value for name, value in json.loads(path.read_bytes()).items() if name != "provenance"}
    path.write_text(json.dumps(without))
    pointer = store.pointer("tags", EPISODE)
    assert pointer is not None
    assert pointer.provenance == Provenance()


def test_a_source_records_where_it_lies_and_a_side_table_what_it_holds(store):
    whole_store(store)
    source = store.pointer("video", EPISODE).provenance
    assert source.to_json() == {"path": str(Path("/show/01.mkv")), "mtime_ns": 0, "fingerprint": "f1"}
    [name] = store.pointer("quality_scores__measured", EPISODE).provenance.to_json()["holds"]
    assert name.endswith(".parquet")


def test_what_only_another_version_knows_is_kept_when_something_else_changes():
    changed = replace(Provenance.from_json(OF_A_LATER_VERSION), code_version="1-x")
    assert changed.to_json() == OF_A_LATER_VERSION | {"code_version": "1-x"}


def test_a_field_that_was_recorded_stays_when_it_comes_to_hold_nothing():
    changed = replace(Provenance.from_json({"inputs": {"video": "f"}}), inputs={}, left_out={})
    assert changed.to_json() == {"inputs": {}}


def test_a_field_that_an_earlier_version_did_not_record_holds_nothing():
    found = Provenance.from_json(OF_AN_EARLIER_VERSION)
    assert (found.faults, found.notes, found.path, found.holds, found.demo) == ({}, {}, "", None, False)
    assert found.to_json() == OF_AN_EARLIER_VERSION
