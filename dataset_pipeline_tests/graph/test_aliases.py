"""What the tables of an episode are after it was given another key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_pipeline.corrections.addressing import Episodes, addressed
from dataset_pipeline.corrections.events import Picture, Reject
from dataset_pipeline.corrections.log import CorrectionLog
from dataset_pipeline.graph.aliases import keys_of_today, rekey
from dataset_pipeline.graph.versions import version_of
from dataset_pipeline.store.files import LocalFiles
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_what_was_left_out_keeps_its_reasons_and_makes_no_reader_out_of_date(store):
    store.write("video", SCHEMAS["video"].table([{"episode": "a.e01"}]), "a.e01")
    crop = "a.e01/1#head-1-2-3-4"
    reason = "crops/a.e01/x.png of a.e01/1 is damaged"
    said = f"{crop}: {reason}; a.e010/2: other; b-a.e01/3: other"
    crops = SCHEMAS["crops"].table([{"image_id": "a.e01/2#head-1-2-3-4"}])
    provenance = {"left_out": {crop: reason}, "faults": {"every_crop_could_be_cut": said}}
    made = store.write("crops", crops, "a.e01", Provenance.from_json(provenance)).pointer
    assert version_of(made) != made.data_version
    scores = SCHEMAS["quality_scores"].table([{"image_id": "a.e01/2"}])
    store.write("quality_scores", scores, "a.e01", Provenance(inputs={"crops": version_of(made)}))
    rekey(store, "a.e01", "b.e02")
    written = store.pointer("crops", "b.e02")
    assert store.pointer("quality_scores", "b.e02").provenance.inputs == {"crops": version_of(written)}
    today = "crops/a.e01/x.png of b.e02/1 is damaged"  # the picture stays where it is
    assert written.provenance.left_out == {"b.e02/1#head-1-2-3-4": today}
    [fault] = written.provenance.faults.values()
    assert fault == f"b.e02/1#head-1-2-3-4: {today}; a.e010/2: other; b-a.e01/3: other"


def test_ids_are_replaced_in_lists_and_structs_and_nowhere_else(store):
    store.write("video", SCHEMAS["video"].table([{"episode": "a.e01", "episode_title": "a.e01"}]), "a.e01")
    rows = [
        {"image_id": "a.e01/1", "tags": ["a.e01/1", "a.e010/1", "x a.e01"], "dropped": [{"tag": "a.e01"}]},
        {"image_id": "a.e01/2", "tags": None, "dropped": []},
        {"image_id": "a.e01/3", "tags": [], "dropped": None},
    ]  # fmt: skip
    store.write("tags", SCHEMAS["tags"].table(rows), "a.e01")
    rekey(store, "a.e01", "b.e02")
    found = store.read("tags", "b.e02").to_pylist()
    assert [row["image_id"] for row in found] == ["b.e02/1", "b.e02/2", "b.e02/3"]
    assert [row["tags"] for row in found] == [["b.e02/1", "a.e010/1", "x a.e01"], None, []]
    assert [row["dropped"] for row in found] == [[{"tag": "b.e02", "reason": None}], [], None]


def test_pictures_of_a_renamed_episode_are_cleaned_like_its_own(store):
    store.write("video", SCHEMAS["video"].table([{"episode": "a.e01"}]), "a.e01")
    paths = [store.put_picture("keyframes", "a.e01", f"a.e01/0000000{number}", b"png", "png") for number in (1, 2)]
    store.write("keyframes", SCHEMAS["keyframes"].table([{"image_id": "a.e01/00000001", "path": paths[0]}]), "a.e01")
    rekey(store, "a.e01", "b.e02")
    store.write("video", SCHEMAS["video"].table([{"episode": "b.e02"}]), "b.e02")
    store.forget("a.e01")
    unread = Path(store.root) / "keyframes" / "b.e02" / Path(store.pointer("keyframes", "b.e02").file).name
    whole = unread.read_bytes()
    unread.write_bytes(b"broken")
    assert store.clean(0.0).pictures == 0  # nobody knows which are named
    unread.write_bytes(whole)
    assert store.clean(0.0).pictures == 1
    assert store.missing_pictures("keyframes", "b.e02") == set()


def test_what_a_person_said_of_an_episode_goes_with_it(store):
    store.write("video", SCHEMAS["video"].table([{"episode": "a.e01"}]), "a.e01", Provenance(fingerprint="f00d"))
    event = Reject(id="e-1", images=(Picture(image="a.e01/00000001#head-1-2-3-4", source="f00d"),))
    row = {"reader": "selection", "event": "e-1", "field": "images", "number": 0, "image_id": event.images[0].image}
    store.write("matched_corrections", SCHEMAS["matched_corrections"].table([row]), "a.e01")
    rekey(store, "a.e01", "b.e02")
    store.write("video", SCHEMAS["video"].table([{"episode": "b.e02"}]), "b.e02", Provenance(fingerprint="f00d"))
    store.forget("a.e01")
    assert store.read("matched_corrections", "b.e02")["image_id"].to_pylist() == ["b.e02/00000001#head-1-2-3-4"]
    found = addressed([event], {"e-1": "now"}, Episodes({"b.e02": "f00d"}, keys_of_today(store)))
    assert [json.loads(row["value"])["images"][0]["image"] for row in found.rows["b.e02"]] == [
        "b.e02/00000001#head-1-2-3-4"
    ]
    assert found.homeless == []


@pytest.mark.parametrize("place", ["corrections", "store/corrections", "store/_corrections"])
def test_nothing_takes_away_what_a_person_said(tmp_path: Path, store: Store, place: str):
    log = CorrectionLog(LocalFiles(tmp_path / place))
    log.append([Reject(images=(Picture(image="a.e01/00000001"),))], by="a test")
    store.write("video", SCHEMAS["video"].table([{"episode": "a.e01"}]), "a.e01")
    store.write("corrections", SCHEMAS["corrections"].table([]), "a.e01")
    store.forget("a.e01")
    store.clean(0)
    assert [event.do for event in log.read().events] == ["reject"]
