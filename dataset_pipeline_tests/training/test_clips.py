"""Which clips go into the set, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from dataset_pipeline.settings import DEFAULTS, TrainingSetSettings, load_settings
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.training.clips import (
    Copies,
    Described,
    Seen,
    copies_of,
    decide_clips,
    rows_of_set,
    seen_on_stills,
)
from dataset_pipeline.training.split import held_out
from dataset_pipeline.video.clip_spans import Span

EPISODE = "show.e2"
SETTINGS = load_settings(DEFAULTS)
RULES = load_rules(SETTINGS.tag_rules)
NONE = Copies()
UNSAID: dict[str, Any] = {
    "characters": [], "people": "", "n_people": 0, "show": "Show", "series": [], "artists": [],
    "image_type": "screencap", "rating": "general", "face_position": "",
    "quality_word": "", "activation_tags": [], "tags": [], "text": "",
}  # fmt: skip


def still(pts_s: float, episode: str = EPISODE) -> str:
    return f"{episode}/{round(pts_s * 1000):08d}"


def image(image_id: str, concept: str = "1_character/fern", **said: Any) -> Described:
    kind = "person" if "#" in image_id else "still"
    return Described(
        image_id, kind, concept, 0.5, UNSAID | {"characters": ["fern"], "people": "1girl", "n_people": 1} | said
    )


def frame(pts_s: float, stands_for: str = "") -> dict:
    return {"image_id": still(pts_s), "pts_s": pts_s, "group": stands_for or still(pts_s)}


def seen_on(images: list[Described]) -> dict[str, Seen]:
    """Of stills, what is said of them and of their crops."""
    found: dict[str, Seen] = {}
    for it in images:
        counts, before = tuple(filter(None, it.said["people"].split(", "))), found.get(it.still_id, Seen())
        who = before.characters.union(it.said["characters"])
        found[it.still_id] = Seen(who, counts, max(before.people, it.said["n_people"]))
    return found


def decided(
    frames: list[dict],
    images: list[Described],
    copies: Copies = NONE,
    shots: int = 3,
    reason: str = "",
    unselected: dict[float, Seen] | None = None,
) -> dict[int, dict]:
    """Clips by shot, of shots of 10 s each with a clip in the middle. unselected: other stills, by their second."""
    spans = [Span(number, 10.0 * number + 2, 10.0 * number + 8, 97, reason) for number in range(shots)]
    limits = [{"number": number, "start_s": 10.0 * number, "end_s": 10.0 * number + 10} for number in range(shots)]
    split = TrainingSetSettings(validation_share=0.0, seed=0)
    frames = [*frames, *map(frame, unselected or ())]
    seen = seen_on(images) | {still(pts_s): who for pts_s, who in (unselected or {}).items()}
    rows = decide_clips(EPISODE, spans, limits, frames, copies, images, seen, 16, SETTINGS.captions, RULES, split)
    return {row["shot"]: row for row in rows}


def reasons(*args: Any, **kwargs: Any) -> list[str]:
    return [row["reason"] for row in decided(*args, **kwargs).values()]


def test_an_id_is_made_of_the_times_of_the_first_and_the_last_frame():
    row = decided([frame(5)], [image(still(5))], shots=1)[0]
    assert (row["image_id"], row["frames"], row["kept"]) == ("show.e2/clip-00002000-00008000", 97, True)


def test_a_shot_of_which_the_set_has_no_image_is_undescribed_and_a_held_one_stays_held():
    assert reasons([frame(5), frame(15)], [image(still(5))]) == ["kept", "undescribed", "undescribed"]
    assert reasons([frame(5)], [image(still(5))], shots=1, reason="held") == ["held"]


def test_a_frame_at_the_shots_edge_serves_where_none_lies_in_the_clip():
    assert decided([frame(10.0)], [image(still(10))])[1]["caption"] == "1girl, fern"
    said = decided([frame(10.0), frame(14)], [image(still(10)), image(still(14), characters=["stark"])])[1]
    assert said["characters"] == ["stark"]


def test_pictures_of_a_folder_have_no_time_and_give_no_clip():
    pictures = [{"image_id": f"{EPISODE}/{name}-00000000", "pts_s": None, "group": name} for name in ("a", "b")]
    assert decided(pictures, [image(f"{EPISODE}/a-00000000")], shots=0) == {}


def test_of_shots_that_show_the_same_the_first_stays():
    frames = [frame(5), frame(15, still(5)), frame(25), frame(26, still(5))]
    assert reasons(frames, [image(still(5)), image(still(25))]) == ["kept", "duplicate", "kept"]


def test_a_shot_that_several_episodes_have_stays_where_most_of_its_stills_do():
    def repeated(mine: list[bool]) -> Copies:
        here, there = [], []
        for number, stays in enumerate(mine):
            one, other = still(1 + number), still(1 + number, "show.e1")
            kept = one if stays else other
            here.append({"image_id": one, "group": kept})
            there.append({"image_id": other, "group": kept})
        return copies_of([{"episode": EPISODE, "frames": here}, {"episode": "show.e1", "frames": there}])

    frames, images = [frame(1), frame(2), frame(3)], [image(still(number)) for number in (1, 2, 3)]
    for mine, reason in (([True] * 3, "kept"), ([True, False, True], "kept"), ([False, True, False], "repeated")):
        assert reasons(frames, images, repeated(mine), shots=1) == [reason]
    assert reasons(frames[:2], images, repeated([True, False]), shots=1) == ["repeated"]  # show.e1 comes first


def test_a_still_that_no_other_episode_has_makes_no_repeat():
    alone = copies_of([{"episode": EPISODE, "frames": [{"image_id": still(5), "group": still(5)}]}])
    assert reasons([frame(5)], [image(still(5))], alone, shots=1) == ["kept"]


def test_what_half_of_the_stills_say_is_said_of_the_clip_and_whoever_is_on_one_of_them():
    images = [
        image(still(3), tags=["solo", "smile", "forest"], characters=["fern"]),
        image(still(5), tags=["smile", "forest"], people="2girls", n_people=2, characters=["fern", "frieren"]),
        image(still(7), "2_characters/fern+stark", tags=["forest", "night"], characters=["stark", "fern"]),
        image(f"{still(7)}#person-1-2-3-4", tags=["hat"], characters=["stark"]),  # its still is there
    ]
    row = decided([frame(3), frame(5), frame(7)], images, shots=1)[0]
    assert row["characters"] == ["fern", "frieren", "stark"]
    assert row["tags"] == ["smile", "forest"]
    assert (row["people"], row["n_people"], row["concept"]) == ("", 0, "1_character/fern")
    assert row["caption"] == "fern, frieren, stark, smile, forest"
    assert row["quality"] == pytest.approx(0.5)


def test_where_the_set_has_no_stills_its_crops_say_who_is_there_and_nobody_is_solo_beside_another():
    crops = [image(f"{still(5)}#person-{n}-2-3-4", characters=[who], tags=["solo"]) for n, who in enumerate(("a", "b"))]
    row = decided([frame(5)], crops, shots=1)[0]
    assert row["characters"] == ["a", "b"]
    assert row["caption"] == "a, b"


ALONE = image(still(5), tags=["solo", "smile"], face_position="left")


@pytest.mark.parametrize(
    ("pts_s", "other", "caption"),
    [
        (6, Seen(frozenset({"fern"}), ("1girl",), 1), "1girl, fern, solo, smile"),
        (6, Seen(frozenset({"stark"}), ("1boy",), 1), "1girl, 1boy, fern, stark, smile"),  # one after the other
        (6, Seen(frozenset({"frieren"}), ("1girl",), 1), "fern, frieren, smile"),
        (6, Seen(frozenset(), ("2girls", "1boy"), 3), "2girls, 1boy, fern, smile"),
        (6, Seen(frozenset(), ("1girl",), 3), "fern, smile"),  # three faces
        (1, Seen(frozenset({"frieren"}), ("1girl",), 1), "fern, smile"),  # of the shot, not in the clip
        (1, Seen(frozenset(), ("2girls",), 2), "fern, smile"),
        (11, Seen(frozenset({"frieren"}), ("2girls",), 2), "1girl, fern, solo, smile"),  # of another shot
    ],
)
def test_no_clip_claims_fewer_people_than_a_still_outside_of_the_set_shows(pts_s: float, other: Seen, caption: str):
    row = decided([frame(5)], [ALONE], unselected={pts_s: other}, shots=1)[0]
    assert row["caption"] == caption
    assert row["face_position"] == ("left" if "solo" in caption else "")
    assert row["n_people"] == ("1girl" in caption) + ("1boy" in caption) + 2 * ("2girls" in caption)


def test_a_clip_on_which_somebody_is_seen_does_not_say_that_there_are_no_humans():
    said = {"characters": [], "people": "", "n_people": 0, "tags": ["no humans", "forest"]}
    nobody = [image(still(pts_s), **said) for pts_s in (3, 4)]
    assert decided([frame(3), frame(4)], nobody, shots=1)[0]["caption"] == "no humans, forest"
    seen = {6.0: Seen(frozenset(), ("1boy",), 1)}
    assert decided([frame(3), frame(4)], nobody, shots=1, unselected=seen)[0]["caption"] == "1boy, forest"


def test_who_is_on_a_still_is_known_by_characters_tags_and_faces_of_every_still_selected_or_not():
    one, other = still(1), still(2)
    rows = [
        {"image_id": one, "still_id": one, "characters": ["c-1"], "n_people": 1, "n_faces": 3, "selected": False},
        {"image_id": other, "still_id": other, "characters": [], "n_people": 0, "n_faces": 0, "selected": True},
        {"image_id": f"{one}#head-1-2-3-4", "still_id": one, "characters": ["c-2"], "n_people": 1, "n_faces": 1},
    ]
    tags = [{"image_id": one, "tags": ["solo", "1girl"]}]
    assert seen_on_stills(rows, tags, {"c-1": "fern"}) == {one: Seen(frozenset({"fern"}), ("1girl",), 3), other: Seen()}


def test_a_clip_of_minutes_of_both_parts_is_left_out():
    across = Span(0, 57.0, 62.0, 81, "")
    minutes = [still(0), still(60)]
    share = next(share / 100 for share in range(100) if len(held_out(minutes, share / 100, 0)) == 1)
    first = "validation" if held_out(minutes, share, 0) == {still(0)} else "train"
    second = ({"train", "validation"} - {first}).pop()
    rows = decide_for([across, across._replace(end_s=59.999), across._replace(start_s=60.0)], share)
    assert [(row["reason"], row["split"]) for row in rows] == [("both_parts", ""), ("kept", first), ("kept", second)]
    assert [row["split"] for row in decide_for([across], 0.0) + decide_for([across], 1.0)] == ["train", "validation"]


def decide_for(spans: list[Span], share: float) -> list[dict]:
    split = TrainingSetSettings(validation_share=share, seed=0)
    shot = [{"number": 0, "start_s": 50.0, "end_s": 70.0}]
    images = [image(still(60))]
    return decide_clips(
        EPISODE, spans, shot, [frame(60)], NONE, images, seen_on(images), 16, SETTINGS.captions, RULES, split
    )


def test_rows_of_the_set_are_clips_with_a_file_and_bear_the_multiply_of_their_concept():
    clips = list(decided([frame(5), frame(15), frame(25)], [image(still(n), str(n)) for n in (5, 15, 25)]).values())
    facts = {"path": "x.mp4", "width_px": 848, "height_px": 480, "file_sha256": "0" * 64}
    files = [{"image_id": row["image_id"], **facts} for row in clips[1:]]
    [row] = rows_of_set(clips, files, {"5": 1.0, "15": 2.5})
    assert (row["image_id"], row["multiply"], row["kind"], row["show"]) == (clips[1]["image_id"], 2.5, "clip", "show")
    assert (row["frames"], row["fps"], row["path"]) == (97, 16, "x.mp4")
