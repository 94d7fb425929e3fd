"""What a person says on the page counts at once, as it will in the graph, and can be taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.characters.by_hand import owners_by_hand
from dataset_pipeline.corrections.answers import whos_of
from dataset_pipeline.corrections.events import event_of
from dataset_pipeline.review.actions import ACTIONS, Unclear
from dataset_pipeline.review.model import ANSWERED, REFUSED, REJECTED_MARK, Now
from dataset_pipeline.review.people import READER
from dataset_pipeline.review.session import SaidUnread, Session
from dataset_pipeline.review.telling import change_told, project_told
from dataset_pipeline_tests.review.made_up import differences, made_up_facts, session_of

FACTS = made_up_facts(240, people=6, strangers=20)
ODD_NAMES = (
    "Fern, the mage",
    "a/b\\c",
    "..",
    "🌸 Lily",
    "n" * 300,
    "CON",
    "שלום",
    "c-00000003",
)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return session_of(FACTS, tmp_path)


def id_of(session: Session, number: int) -> str:
    return session.view.characters[number]


def tiles_of(session: Session, character: str) -> list[int]:
    return np.flatnonzero(session.now.owner == session.view.characters.index(character)).tolist()


def asked(session: Session) -> list[int]:
    return session.view.asked_next(session.now, len(session.view.tiles))


def same(one: Now, other: Now) -> bool:
    arrays = ("owner", "near", "second", "marks", "certainty", "difference")
    plain = one.people == other.people and one.chosen == other.chosen and one.tags == other.tags
    return plain and all(np.allclose(getattr(one, it), getattr(other, it), atol=1e-9) for it in arrays)


def test_an_answer_counts_at_once_and_teaches(session: Session):
    taken = session.view.characters
    wrong = next(tile for tile in asked(session) if session.now.owner[tile] != session.now.near[tile])
    nearest = id_of(session, int(session.now.near[wrong]))
    change = session.act({"do": "assign", "tiles": [wrong], "character": nearest})
    assert id_of(session, int(session.now.owner[wrong])) == nearest
    assert session.now.marks[wrong] & ANSWERED
    assert wrong in change.tiles
    assert len(change.tiles) > 1
    assert session.view.characters is taken


def test_the_page_answers_by_the_rule_of_the_graph(session: Session):
    draw = np.random.default_rng(3)
    for step in range(30):
        tile = int(draw.integers(len(session.view.tiles)))
        character = sorted(session.now.people)[int(draw.integers(len(session.now.people)))]
        do = ("assign", "not", "assign", "confirm", "merge")[step % 5] if step < 25 else "undo"
        if do == "undo":
            session.undo()
        elif do != "merge" or step == 4:
            said = {"do": do, "tiles": [tile], "character": character, "other": id_of(session, 5)}
            if do != "merge" or said["character"] != said["other"]:
                session.act(said)
    (show,) = FACTS.shows
    rows = [row for event, when in session._in_force() for row in session.view.rows_of(event, when)]
    said = whos_of(row for row in rows if row["reader"] == READER)
    expected = owners_by_hand(show.owners, show.appearances, said, FACTS.limit, differences).owners
    found = [id_of(session, int(it)) if it >= 0 else None for it in session.now.owner]
    by_crop = {session.view.tiles[i].cover: who for i, who in enumerate(found)}
    assert [by_crop[crops[0]] for crops in show.appearances.crops] == expected


def test_who_is_not_somebody_is_never_proposed_as_them_again(session: Session):
    tile = tiles_of(session, "c-00000001")[0]
    session.act({"do": "not", "tiles": [tile], "character": "c-00000001"})
    number = session.view.characters.index("c-00000001")
    assert session.now.marks[tile] & REFUSED
    assert number not in (session.now.owner[tile], session.now.near[tile])


def test_a_name_goes_to_its_bearer_to_an_unnamed_character_or_to_somebody_new(session: Session):
    first, second, *_ = tiles_of(session, "c-00000002")
    session.act({"do": "name", "tiles": [first], "name": "Ann"})
    assert id_of(session, int(session.now.owner[first])) == "c-00000000"
    session.act({"do": "name", "tiles": [second], "name": "Bea", "of": "c-00000002"})
    assert session.now.people["c-00000002"].name == "Bea"
    session.act({"do": "name", "tiles": [first], "name": "Cleo"})
    new = session.now.people[id_of(session, int(session.now.owner[first]))]
    assert (new.name, new.named) == ("Cleo", True)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_shown_as_typed(session: Session, name: str):
    session.act({"do": "rename", "character": "c-00000001", "name": name})
    assert session.now.people["c-00000001"].name == name
    told = next(it for it in project_told(session)["characters"] if it["id"] == "c-00000001")
    assert told["name"] == name


def test_a_name_too_long_is_refused_and_nothing_is_said(session: Session):
    with pytest.raises(Unclear, match="300 characters"):
        session.act({"do": "rename", "character": "c-00000001", "name": "n" * 301})
    assert session.said.events == []


def test_merged_then_split_then_taken_back_everybody_is_who_they_were(session: Session):
    before = session.now
    session.act({"do": "merge", "character": "c-00000001", "other": "c-00000002"})
    assert "c-00000002" not in session.now.people
    some = tiles_of(session, "c-00000001")[:4]
    session.act({"do": "split", "tiles": some, "name": "Dot"})
    assert len({int(session.now.owner[it]) for it in some}) == 1
    assert session.now.people[id_of(session, int(session.now.owner[some[0]]))].name == "Dot"
    session.undo()
    session.undo()
    assert same(before, session.now)


def test_rejected_tags_captions_and_frames_are_told(session: Session):
    crop = session.view.tiles[0].cover
    session.act({"do": "reject", "tiles": [0]})
    session.act({"do": "tags", "images": [crop], "add": ["wide hat"], "remove": ["smile"]})
    session.act({"do": "caption", "images": [crop], "text": "a girl in a hat"})
    assert session.now.marks[0] & REJECTED_MARK
    assert session.now.tags[crop].add == ("wide hat",)
    assert session.now.captions[crop] == "a girl in a hat"
    frames = next(iter(FACTS.lookalikes.values()))
    change = session.act({"do": "swap", "image": frames[1].image_id, "instead_of": frames[0].image_id})
    told = change_told(session, change)["frames"]
    assert told == {frames[1].image_id: "stands", frames[0].image_id: "stands back"}
    session.act({"do": "keep_both", "images": [it.image_id for it in frames]})
    session.act({"do": "box", "image": frames[0].image_id, "kind": "head", "box": [1, 1, 50, 50]})
    session.act({"do": "exclude", "episode": "lake.e1", "start_s": 1, "end_s": 2})
    assert change_told(session, change)["excluded"] == [{"episode": "lake.e1", "start_s": 1.0, "end_s": 2.0}]


def test_seventy_actions_and_as_many_undos_are_as_if_nothing_was_said(session: Session, tmp_path: Path):
    before, draw = session.now, np.random.default_rng(8)
    for step in range(70):
        session.act(some_action(session, step, draw))
        if step == 35:
            session = session_of(FACTS, tmp_path)  # the server was killed and started again
    assert len(session.own) == 70
    for _ in range(70):
        session.undo()
    assert same(before, session.now)
    with pytest.raises(Unclear, match="nothing left to undo"):
        session.undo()


def some_action(session: Session, step: int, draw: np.random.Generator) -> dict:
    tile = int(draw.integers(len(session.view.tiles)))
    character = sorted(session.now.people)[int(draw.integers(len(session.now.people)))]
    kinds = (
        {"do": "assign", "tiles": [tile], "character": character},
        {"do": "not", "tiles": [tile], "character": character},
        {"do": "name", "tiles": [tile], "name": f"Name {step % 9}"},
        {"do": "confirm", "tiles": [tile]},
        {"do": "reject", "tiles": [tile]},
        {"do": "rename", "character": character, "name": f"Other {step % 7}"},
        {"do": "tags", "images": [session.view.tiles[tile].cover], "add": ["hat"]},
    )
    return kinds[step % len(kinds)]


def test_undo_takes_back_what_was_said_here_and_leaves_the_words_of_others(session: Session):
    session.act({"do": "reject", "tiles": [0]})
    session.log.append([event_of({"do": "reject", "images": [session.view.tiles[1].cover]})], by="somebody else")
    session.read_again()
    session.undo()
    assert [session.now.marks[it] & REJECTED_MARK for it in (0, 1)] == [0, REJECTED_MARK]
    with pytest.raises(Unclear):
        session.undo()
    session.take_back(session.holding[0].id)
    assert not session.now.marks[1]


def test_what_finds_nothing_is_told(session: Session):
    session.log.append([event_of({"do": "reject", "images": ["lake.e1/99999999", "gone.e1/00000001"]})], by="a person")
    change = session.read_again()
    (told,) = change_told(session, change)["unmatched"]
    assert told["what"] == ["gone.e1", "lake.e1/99999999"]


def test_of_several_episodes_those_pictures_are_told_that_are_not_there(session: Session):
    there = {it: f"lake.{it}/00000500" for it in ("e1", "e2", "e3")}
    said = [there["e1"], "lake.e2/99999998", there["e3"], "lake.e1/99999999", there["e2"]]
    session.log.append([event_of({"do": "reject", "images": said})], by="a person")
    (told,) = change_told(session, session.read_again())["unmatched"]
    assert sorted(told["what"]) == ["lake.e1/99999999", "lake.e2/99999998"]


def test_frames_and_boxes_that_find_nothing_are_told(session: Session):
    (one, other), gone = [it.image_id for it in next(iter(FACTS.lookalikes.values()))], "lake.e1/99999999"
    box = {"kind": "head", "box": [1, 1, 50, 50]}
    events = (
        {"do": "keep_both", "images": [one, other]},
        {"do": "keep_both", "images": [one, gone]},
        {"do": "swap", "image": gone, "instead_of": one},
        {"do": "set_box", "image": gone, **box},
        {"do": "set_box", "image": one, **box, "instead_of": f"{one}#head-1-1-10-10"},
        {"do": "keep", "images": [one, gone]},
        {"do": "exclude", "episode": "gone.e1", "start_s": 1, "end_s": 2},
    )
    session.log.append([event_of(it) for it in events], by="a person")
    told = change_told(session, session.read_again())["unmatched"]
    expected = [
        ("keep_both", [gone]),
        ("swap", [gone]),
        ("set_box", [gone]),
        ("keep", [gone]),
        ("exclude", ["gone.e1"]),
    ]
    assert [(it["do"], it["what"]) for it in told] == expected


def test_a_frame_that_is_kept_before_the_next_run_makes_it_an_image_is_there(tmp_path: Path):
    frame = "lake.e1/00000001"
    row = {"image_id": frame, "path": frame, "pixel_sha256": "", "width_px": 1280, "height_px": 720, "pts_s": 0.001}
    session = session_of(replace(FACTS, frames=FACTS.frames | {frame: row}), tmp_path)
    change = session.act({"do": "keep", "images": [frame]})
    assert change_told(session, change)["unmatched"] == []


def test_a_person_is_asked_about_doubtful_panoramas_and_what_they_say_finds_them(tmp_path: Path):
    pan, sure = "lake.e1/pan-00000001-00004000", "lake.e1/pan-00006000-00009000"
    row = {
        **{"image_id": pan, "path": pan, "pixel_sha256": "p", "kind": "panorama", "verdict": "doubtful"},
        **{"reason": "too_much_unknown", "start_s": 0.001, "end_s": 4.0, "width_px": 2000, "height_px": 700},
        **{"known_share": 0.8, "whole_px": [2400, 720, 300, 10], "layers": [{"ratio": 1.6, "share": 0.1}]},
    }
    stitched = {pan: row, sure: row | {"image_id": sure, "verdict": "keep", "reason": "kept"}}
    session = session_of(replace(FACTS, stitched=stitched), tmp_path)
    [told] = project_told(session)["doubtful"]
    assert (told["id"], told["known_share"], told["whole_px"]) == (pan, 0.8, [2400, 720, 300, 10])
    assert told["layers"] == [{"ratio": 1.6, "share": 0.1}]
    for do, said in (("keep", "kept_by_hand"), ("reject", "rejected_by_hand")):
        answer = change_told(session, session.act({"do": do, "images": [pan]}))
        assert (answer["judged"], answer["unmatched"]) == ({pan: said}, [])


def test_nobody_is_asked_about_who_was_decided_on(session: Session):
    first, second, *_ = asked(session)
    session.act({"do": "confirm", "tiles": [first]})
    session.act({"do": "reject", "tiles": [second]})
    assert not {first, second} & set(asked(session))


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ({"do": "fly"}, "there is no action"),
        ({"do": "assign", "tiles": [0]}, "lacks 'character'"),
        ({"do": "assign", "tiles": [0], "character": "c-no"}, "no character"),
        ({"do": "assign", "tiles": [99999], "character": "c-00000001"}, "names no tiles"),
        ({"do": "assign", "tiles": [], "character": "c-00000001"}, "names no tiles"),
        ({"do": "reject", "images": ["../../etc/passwd"]}, "is no image id"),
        ({"do": "reject", "images": ["lake.e1/00000001"]}, "there is no image"),
        ({"do": "box", "image": "lake.e1/00000500", "kind": "tail", "box": [0, 0, 99, 99]}, "kind"),
        ({"do": "exclude", "episode": "lake.e9", "start_s": 0, "end_s": 1}, "lake.e9"),
        ({"do": "exclude", "episode": "lake.e1", "start_s": 3, "end_s": 1}, "before it starts"),
        ({"do": "caption", "images": ["lake.e1/00000500"], "text": "a\x00b"}, "line break"),
        ({"do": "merge", "character": "c-00000001", "other": "c-00000001"}, "merged with itself"),
        ({"do": "name", "tiles": [0], "name": None}, "name has to be a text"),
        ({"do": "name", "tiles": [0], "name": ["a"]}, "name has to be a text"),
        ({"do": "rename", "character": "c-00000001", "name": 7}, "name has to be a text"),
        ({"do": "split", "tiles": [0], "name": {}}, "name has to be a text"),
        ({"do": "assign", "tiles": [0], "character": ["c-00000001"]}, "no character"),
        ({"do": "assign", "tiles": [True], "character": "c-00000001"}, "names no tiles"),
        ({"do": "assign", "tiles": "12", "character": "c-00000001"}, "names no tiles"),
        ({"do": "tags", "tiles": [0], "add": "abc"}, "add has to be a list"),
        ({"do": "tags", "tiles": [0], "remove": ["hat", 1]}, "remove has to be a list"),
        ({"do": "reject", "images": "lake.e1/00000500"}, "images has to be a list"),
        ({"do": "caption", "images": ["lake.e1/00000500"], "text": None}, "text has to be a text"),
        ({"do": "swap", "image": ["lake.e1/00000500"], "instead_of": "lake.e1/00001000"}, "image has to be a text"),
        ({"do": "exclude", "episode": "lake.e1", "start_s": 10**400, "end_s": 1}, "start_s has to be a number"),
        ({"do": "exclude", "episode": "lake.e1", "start_s": 0, "end_s": float("inf")}, "end_s has to be a number"),
        ({"do": "exclude", "episode": "lake.e1", "start_s": "0", "end_s": 1}, "start_s has to be a number"),
        ({"do": "exclude", "episode": "lake.e1", "start_s": True, "end_s": 3}, "start_s has to be a number"),
        ({"do": "box", "image": "lake.e1/00000500", "kind": "head", "box": [0, 0, 99, True]}, "four whole numbers"),
        ({"do": "box", "image": "lake.e1/00000500", "kind": "head", "box": [0, 0, 10**400, 9]}, "four whole numbers"),
        ({"do": "box", "image": "lake.e1/00000500", "kind": "head", "box": [0, 0, 25, 43]}, "32 × 31 px of the still"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(session: Session, action: dict, why: str):
    with pytest.raises(Unclear, match=why):
        session.act(action)
    assert session.said.events == []


def test_what_is_written_and_then_cannot_be_read_is_told_as_said(session: Session, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as broken:
        broken.setattr(session.view, "now", lambda in_force: 1 / 0)
        with pytest.raises(SaidUnread, match=r"was said and is kept.*division by zero.*load the page anew"):
            session.act({"do": "reject", "tiles": [0]})
        assert [event.do for event in session.log.read().events] == ["reject"]
    session.read_again()
    assert [event.do for event in session.said.events] == ["reject"]
    assert session.now.marks[0] & REJECTED_MARK


def test_two_shows_lie_side_by_side_and_a_character_is_of_one(tmp_path: Path):
    sea = made_up_facts(60, people=3, show="sea", strangers=10)
    both = replace(
        FACTS,
        shows=[*FACTS.shows, *sea.shows],
        images=FACTS.images | sea.images,
        sources=FACTS.sources | sea.sources,
    )
    session = session_of(both, tmp_path)
    shows = np.array([tile.show for tile in session.view.tiles])
    assert np.bincount(shows).tolist() == [240, 60]
    groups = [set(session.view.group[shows == k].tolist()) - {-1} for k in (0, 1)]
    assert groups[0] & groups[1] == set()
    first, last = 0, len(shows) - 1
    for action in (
        {"do": "assign", "tiles": [last], "character": "c-00000001"},
        {"do": "name", "tiles": [first, last], "name": "Eve"},
        {"do": "merge", "character": "c-00000001", "other": "c-00000101"},
    ):
        with pytest.raises(Unclear, match="show"):
            session.act(action)
    session.act({"do": "name", "tiles": [last], "name": "Ann"})
    assert id_of(session, int(session.now.owner[last])) == "c-00000100"
    assert {int(shows[tile]) for tile in asked(session)} == {0, 1}
    assert session.likeness_to([last])[first] is None


def test_every_action_has_its_method(session: Session):
    assert all(callable(getattr(session.speaker, f"_{it}")) for it in ACTIONS)
