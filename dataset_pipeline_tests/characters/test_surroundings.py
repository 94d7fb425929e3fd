"""Who is cut off by a side of the picture is rather somebody of the shot; worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.characters.gallery import decide_clusters
from dataset_pipeline.characters.surroundings import is_cut_off, shots_of

SHOTS = [{"episode": "show.e1", "start_s": start} for start in (0.0, 1.0)]
GALLERY = [{"character": name, "exemplars": [[at]], "outfits": []} for name, at in (("ada", 1.0), ("bea", 3.0))]
LIMIT = 1.0


def differences(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """People are numbers here."""
    return np.abs(ones - others.T)


def who(people: dict[str, float], shots: list[dict] = SHOTS) -> list[str]:
    """The character of each person, empty for nobody. people: what the net says of crops, by `<ms>#<x>-<width>`."""
    crops, vectors = [], {}
    for name, at in people.items():
        still, _, box = name.partition("#")
        x, width = map(int, box.split("-"))
        image_id = f"show.e1/{int(still):08d}#person-{x}-100-{width}-800"
        place = {"x_px": x, "y_px": 100, "width_px": width, "height_px": 800}
        crops.append({"image_id": image_id, "still_id": image_id[:16], "kind": "person", "kept": True, **place})
        vectors[image_id] = np.array([at], np.float32)
    rows = decide_clusters([], crops, vectors, GALLERY, differences, LIMIT, shots=shots)
    found = {row["image_id"]: row["characters"] for row in rows}
    return ["".join(found[crop["image_id"]]) for crop in crops]


@pytest.fixture(autouse=True)
def raw_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of one number keep their length."""
    monkeypatch.setattr("dataset_pipeline.characters.appearances.unit", lambda vectors: np.asarray(vectors, np.float32))


def test_who_is_cut_off_is_taken_for_somebody_of_the_shot_who_is_half_as_near_again():
    """1.8 from ada counts as .9; bea is 1.2 away where nobody of the shot is, and .6 if she were of it."""
    assert who({"100#400-200": 1.0, "500#900-100": 2.2}) == ["ada", "ada"]
    assert who({"100#400-200": 1.0, "500#900-100": 2.2}, []) == ["ada", "bea"]


def test_somebody_whole_and_who_is_cut_off_in_another_shot_are_told_by_what_is_seen_of_them_alone():
    assert who({"100#400-200": 1.0, "500#700-200": 2.2}) == ["ada", "bea"]
    assert who({"100#400-200": 1.0, "1500#900-100": 2.2}) == ["ada", "bea"]
    assert who({"100#900-100": 1.0, "500#900-100": 2.2}) == ["ada", "bea"]  # neither is well seen


def test_who_stands_whole_on_the_same_still_draws_nobody_to_themselves():
    assert who({"100#400-200": 1.0, "500#300-200": 1.0, "500#900-100": 2.2}) == ["ada", "ada", "bea"]


def test_a_vote_is_no_wall():
    """Who is nearer to another one than half as far as to those of the shot is that one, and who is far is nobody."""
    assert who({"100#400-200": 1.0, "500#0-100": 2.9}) == ["ada", "bea"]
    assert who({"100#400-200": 1.0, "500#0-100": -1.5}) == ["ada", ""]


def test_cut_off_is_whose_every_box_ends_at_a_side():
    still = "show.e1/00000001"
    assert is_cut_off([f"{still}#person-0-100-60-800", f"{still}#head-0-100-50-200"])
    assert is_cut_off([f"{still}#person-940-100-59-800"])
    assert not is_cut_off([f"{still}#person-0-100-300-800", f"{still}#head-80-100-150-200"])


def test_frames_lie_in_the_shot_that_began_last_and_what_is_made_of_many_frames_in_none():
    shots = [*SHOTS, {"episode": "show.e2", "start_s": 0.0}]
    stills = ["show.e1/00000000", "show.e1/00000999", "show.e1/00001000", "show.e2/00001000"]
    odd = ["show.e1/pan-00000000-00000900", "show.e3/00000000", "show.e1/picture-0123abcd"]
    found = shots_of([*stills, *odd], shots)
    assert [found.get(still) for still in stills] == [("show.e1", 1), ("show.e1", 1), ("show.e1", 2), ("show.e2", 1)]
    assert found.keys() == set(stills)
