"""The words of corrections, and the files that hold them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dataset_pipeline.corrections.events import (
    EVENTS,
    AddTags,
    Exclude,
    Merge,
    Reject,
    Rename,
    SamePerson,
    SetBox,
    SetCharacter,
    Undo,
    event_of,
    in_force,
    new_character,
    told,
)
from dataset_pipeline.corrections.log import CorrectionLog
from dataset_pipeline.store.files import LocalFiles, open_files

HEAD = {"image": "show.e01/00001500#head-100-100-200-200", "source": "f00d", "pixels": "ab", "look": "0" * 32}
OTHER = {"image": "show.e02/00002500#head-300-100-200-200"}
STILL = {"image": "show.e01/00001500"}


@pytest.fixture
def log(tmp_path: Path) -> CorrectionLog:
    return CorrectionLog(LocalFiles(tmp_path / "corrections"))


SAID = [
    {"do": "rename", "character": "c-1a2b", "name": "Fern", "shown_by": [HEAD]},
    {"do": "merge", "character": "c-1a2b", "other": "c-3c4d", "shown_by": [HEAD], "other_shown_by": [OTHER]},
    {"do": "set_character", "images": [HEAD, OTHER], "character": "c-9", "name": "Stark", "split_from": "c-1a2b"},
    {"do": "not_character", "images": [HEAD], "character": "c-1a2b"},
    {"do": "same_person", "images": [HEAD, OTHER]},
    {"do": "reject", "images": [STILL]},
    {"do": "keep", "images": [STILL]},
    {"do": "keep_both", "images": [STILL, {"image": "show.e01/00001600"}]},
    {"do": "swap", "image": STILL, "instead_of": {"image": "show.e01/00001600"}},
    {"do": "add_tags", "images": [STILL], "tags": ["red hat"]},
    {"do": "remove_tags", "images": [STILL], "tags": ["smile"]},
    {"do": "set_caption", "images": [STILL], "text": "Fern, who waits."},
    {"do": "set_box", "image": STILL, "kind": "head", "box": [100, 100, 200, 200], "instead_of": HEAD},
    {"do": "exclude", "episode": "show.e01", "start_s": 10.0, "end_s": 25.5},
    {"do": "undo", "event": "e-123"},
]


def test_every_word_is_written_and_read_back_as_it_was_said(log: CorrectionLog):
    assert {it["do"] for it in SAID} == set(EVENTS)
    written = log.append([event_of(it) for it in SAID], by="a test")
    found = log.read()
    assert not found.faults
    assert [told(event) | {"id": ""} for event in found.events] == [{"id": "", **it} for it in SAID]
    assert [event.id for event in found.events] == [event.id for event in written]
    assert len(set(found.when)) == len(SAID)


def test_a_batch_is_one_file_with_one_line_for_each_event_that_a_person_can_read(log: CorrectionLog, tmp_path: Path):
    log.append([event_of(it) for it in SAID[:2]], by="a test")
    [file] = (tmp_path / "corrections").iterdir()
    lines = file.read_text("utf-8").splitlines()
    assert len(lines) == 4
    assert '"do": "rename"' in lines[1]
    assert lines[1].count("Fern") == 1
    assert json.loads(file.read_text("utf-8"))["by"] == "a test"


def test_nothing_said_writes_nothing(log: CorrectionLog, tmp_path: Path):
    assert log.append([], by="a test") == []
    assert not (tmp_path / "corrections").exists()


def test_a_person_may_write_a_file_with_ids_alone(log: CorrectionLog, tmp_path: Path):
    folder = tmp_path / "corrections"
    folder.mkdir()
    events = [{"do": "reject", "images": [STILL["image"]]}, {"do": "rename", "character": "c-1", "name": "フリーレン"}]
    (folder / "mine.json").write_text(json.dumps({"events": events}), "utf-8")
    found = log.read()
    assert not found.faults
    assert [event.id for event in found.events] == ["mine.1", "mine.2"]
    assert found.events[1].name == "フリーレン"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"do": "renam"}, "do: has to be one of rename, merge"),
        ({"do": "rename", "character": "Fern", "name": "x"}, "'Fern' is no id of a character"),
        ({"do": "rename", "character": "c-1", "name": "a\nb"}, "name: .*line break"),
        ({"do": "rename", "character": "c-1", "name": "a\u2028b"}, "name: .*line break"),
        ({"do": "rename", "character": "c-1", "name": "a\u2029b"}, "name: .*line break"),
        ({"do": "rename", "character": "c-1", "name": "\u200b\u200b"}, "name: .*cannot be seen"),
        ({"do": "rename", "character": "c-1", "name": "\u3164"}, "name: .*cannot be seen"),
        ({"do": "undo", "event": "\ud800"}, "event: .*unable to parse"),
        ({"do": "undo", "event": "e-1", "id": "a b"}, "id: 'a b' is no id of an event"),
        ({"do": "reject", "images": [f"a.b/1#head-{'9' * 5000}-1-1-1"]}, "images.0.image: .*250"),
        ({"do": "rename", "character": "c-1", "name": "x" * 301}, "name: .*300"),
        ({"do": "merge", "character": "c-1", "other": "c-1"}, "c-1 cannot be merged with itself"),
        ({"do": "reject", "images": []}, "images: .*at least 1"),
        ({"do": "reject", "images": ["../x"]}, "'../x' is no image id"),
        ({"do": "same_person", "images": [HEAD]}, "images: .*at least 2"),
        ({"do": "set_box", "image": STILL, "kind": "head", "box": [900, 0, 200, 10]}, "does not lie inside"),
        ({"do": "set_box", "image": HEAD, "kind": "head", "box": [0, 0, 200, 100]}, "image: .* name the frame"),
        (
            {"do": "set_box", "image": STILL, "kind": "head", "box": [0, 0, 200, 100], "instead_of": STILL},
            "instead_of: .* is no crop",
        ),
        ({"do": "swap", "image": HEAD, "instead_of": STILL}, "image: .* name the frame"),
        ({"do": "swap", "image": STILL, "instead_of": HEAD}, "instead_of: .* name the frame"),
        ({"do": "keep_both", "images": [STILL, HEAD]}, "images.1: .* name the frame"),
        ({"do": "exclude", "episode": "show.e01", "start_s": 5, "end_s": 5}, "ends at 5.0 s, before"),
        ({"do": "add_tags", "images": [STILL], "tags": []}, "tags: .*at least 1"),
        ({"do": "reject", "images": [STILL], "because": "x"}, "because: Extra inputs"),
    ],
)
def test_what_is_wrong_is_told_in_words(said: dict, why: str):
    with pytest.raises(ValueError, match=why):
        event_of(said)


def test_a_broken_file_or_event_costs_itself_alone(log: CorrectionLog, tmp_path: Path):
    log.append([event_of(SAID[5])], by="a test")
    folder = tmp_path / "corrections"
    (folder / "torn.json").write_text('{"events": [', "utf-8")
    (folder / "list.json").write_text("[]", "utf-8")
    (folder / "later.json").write_text('{"format": 2, "events": []}', "utf-8")
    (folder / "half.json").write_text(json.dumps({"events": [{"do": "reject"}, SAID[6]]}), "utf-8")
    (folder / "notes.txt").write_text("mine", "utf-8")
    found = log.read()
    assert sorted(event.do for event in found.events) == ["keep", "reject"]
    assert found.faults.keys() == {"torn.json", "list.json", "later.json", "half.json, event 1"}
    assert "later version" in found.faults["later.json"]
    (folder / "torn.json").write_text(json.dumps({"events": [SAID[0]]}), "utf-8")
    assert "torn.json" not in log.read().faults  # corrected, it is read again


NOT_READABLE = {
    "deep.json": '{"events": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "digits.json": '{"events": [' + "9" * 5000 + "]}",
    "when.json": '{"when": "yesterday", "events": []}',
    "no_day.json": '{"when": "20269999T000000.000000Z", "events": []}',
    "last_day.json": '{"when": "99991231T235959.999999Z", "events": []}',
    "by.json": '{"by": "\\ud800", "events": []}',
}


@pytest.mark.parametrize("name", NOT_READABLE)
def test_a_file_that_is_too_deep_too_long_or_of_no_time_costs_itself_alone(log: CorrectionLog, tmp_path: Path, name):
    log.append([event_of(SAID[5])], by="a test")
    (tmp_path / "corrections" / name).write_text(NOT_READABLE[name], "utf-8")
    found = log.read()
    assert [event.do for event in found.events] == ["reject"]
    assert found.faults.keys() == {name}


def test_an_id_that_cannot_be_printed_costs_its_event_alone(log: CorrectionLog, tmp_path: Path):
    folder = tmp_path / "corrections"
    folder.mkdir()
    events = [{"id": "\ud800", **SAID[5]}, {"do": "\ud800"}, {**SAID[5], "\ud800": 1}, SAID[6]]
    (folder / "mine.json").write_text(json.dumps({"events": events}), "utf-8")
    found = log.read()
    assert [event.id for event in found.events] == ["mine.4"]
    assert found.faults.keys() == {f"mine.json, event {number}" for number in (1, 2, 3)}
    json.dumps(found.faults, ensure_ascii=False).encode()  # the words can be printed


def test_events_in_a_file_of_any_name_have_ids_that_can_be_undone(log: CorrectionLog, tmp_path: Path):
    folder = tmp_path / "corrections"
    folder.mkdir()
    (folder / "my corrections.json").write_text(json.dumps({"events": [SAID[5]]}), "utf-8")
    [event] = log.read().events
    log.append([event_of({"do": "undo", "event": event.id})], by="a test")
    assert list(in_force(log.read().events)) == []


def test_a_file_that_does_not_say_when_was_said_before_all_others(log: CorrectionLog, tmp_path: Path):
    log.append([event_of(SAID[5])], by="a test")
    (tmp_path / "corrections" / "zzz.json").write_text(json.dumps({"events": [SAID[6]]}), "utf-8")
    found = log.read()
    assert [event.do for event in found.events] == ["keep", "reject"]
    assert found.when["zzz.1"] == ""


def test_what_is_said_later_counts_later_after_a_clock_that_went_ahead(log: CorrectionLog, tmp_path: Path):
    folder = tmp_path / "corrections"
    folder.mkdir()
    ahead = {"when": "29990101T000000.000000Z", "events": [SAID[5]]}
    (folder / "other.json").write_text(json.dumps(ahead), "utf-8")
    ids = [log.append([event_of(it)], by="a test")[0].id for it in SAID[6:8]]
    found = log.read()
    assert [event.do for event in found.events] == ["reject", "keep", "keep_both"]
    assert [found.when[it] for it in ids] == ["29990101T000000.000001Z", "29990101T000000.000002Z"]


def test_what_is_said_bears_the_time_that_it_is(log: CorrectionLog):
    [event] = log.append([event_of(SAID[5])], by="a test")
    assert log.read().when[event.id][:9] <= datetime.now(UTC).strftime("%Y%m%dT")


def test_a_file_that_was_corrected_in_place_is_read_again(log: CorrectionLog, tmp_path: Path):
    log.append([event_of(SAID[6])], by="a test")
    [file] = (tmp_path / "corrections").iterdir()
    before, seen = log.read(), log.files()
    assert log.files() == seen
    text = file.read_text("utf-8").replace("00001500", "00001700")
    file.write_text(text, "utf-8")
    os.utime(file, ns=(0, 1))
    assert log.files() != seen
    assert before.events[0].images[0].image == "show.e01/00001500"
    assert log.read().events[0].images[0].image == "show.e01/00001700"


@pytest.mark.parametrize("turned", [False, True])
def test_what_undoes_what_is_told_by_ids_in_whatever_order_a_clock_put_them(turned: bool):
    said = [Reject(id="e-1", images=(STILL["image"],))]  # type: ignore[arg-type]
    for number in range(2, 2000):
        said.append(Undo(id=f"e-{number}", event=f"e-{number - 1}"))  # type: ignore[arg-type]
        if number < 5 or number > 1996:
            found = list(in_force(said[::-1] if turned else said))
            assert found == (said[:1] if number % 2 else [])


def test_those_that_undo_each_other_in_a_circle_undo_nothing():
    kept = Reject(id="e-1", images=(STILL["image"],))  # type: ignore[arg-type]
    circle = [Undo(id="e-2", event="e-3"), Undo(id="e-3", event="e-2"), Undo(id="e-4", event="e-4")]
    assert list(in_force([kept, *circle])) == [kept]
    assert list(in_force([kept, *circle, Undo(id="e-5", event="e-1"), Undo(id="e-6", event="e-3")])) == []


def test_an_undone_event_does_not_count_and_does_again_once_the_undoing_is_undone():
    said = [Reject(id="e-1", images=(STILL["image"],)), Undo(id="e-2", event="e-1")]  # type: ignore[arg-type]
    assert list(in_force(said)) == []
    assert list(in_force([*said, Undo(id="e-3", event="e-2")])) == [said[0]]
    assert list(in_force([*said, Undo(id="e-3", event="e-2"), Undo(id="e-4", event="e-3")])) == []
    assert list(in_force([*said, Undo(id="e-5", event="e-1")])) == []


def test_two_copies_of_a_log_are_merged_by_having_the_files_of_both(tmp_path: Path):
    logs = [CorrectionLog(LocalFiles(tmp_path / name)) for name in ("one", "two")]
    for log, said in zip(logs, SAID[5:7], strict=True):
        log.append([event_of(said)], by="a test")
    for file in (tmp_path / "two").iterdir():
        (tmp_path / "one" / file.name).write_bytes(file.read_bytes())
    assert [event.do for event in logs[0].read().events] == ["reject", "keep"]


def test_a_log_may_lie_behind_a_url():
    log = CorrectionLog(open_files("memory://corrections-of-a-test"))
    log.append([event_of(SAID[0])], by="a test")
    assert [event.name for event in log.read().events] == ["Fern"]


def test_the_id_of_somebody_new_comes_from_their_pictures_and_the_time():
    pictures = [event_of(SAID[3]).images[0]]
    assert new_character(pictures, "t") == new_character(pictures, "t")
    assert new_character(pictures, "t") != new_character(pictures, "u")
    assert new_character(pictures, "t").startswith("c-")


def test_each_event_knows_whose_pictures_it_speaks_of_and_who_reads_it():
    assert event_of(SAID[4]).episodes == ["show.e01", "show.e02"]
    assert event_of(SAID[13]).episodes == ["show.e01"]
    readers = {do: set(kind.READERS) for do, kind in EVENTS.items()}
    assert readers["set_character"] == {"character_gallery", "clusters"}
    assert all(readers[do] for do in readers if do != "undo")
    for kind in (Rename, Merge, SetCharacter, SamePerson, AddTags, SetBox, Exclude):
        assert kind.__doc__
