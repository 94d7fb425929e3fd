from __future__ import annotations

import hashlib

import numpy as np
import pytest

from dataset_pipeline.characters import finding
from dataset_pipeline.characters.appearances import appearances_of
from dataset_pipeline.characters.building import build_gallery
from dataset_pipeline.characters.exemplars import exemplars_of
from dataset_pipeline.characters.gallery import character_differences, decide_clusters, galleries_by_show
from dataset_pipeline.characters.vectors import unit
from dataset_pipeline.settings import CharacterGallerySettings, load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS

DEFAULTS = load_settings(resources_folder() / "settings.toml").character_gallery
THRESHOLD = 0.178


def settings(**changes: object) -> CharacterGallerySettings:
    return CharacterGallerySettings.model_validate({**DEFAULTS.model_dump(), **changes})


def between(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Half the distance: crops of one person below lie within 0.1, of two people 0.7 apart."""
    return np.linalg.norm(ours[:, None] - theirs[None], axis=2) / 2


def person(number: int, count: int, seed: int = 0, spread: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng([seed, number])
    off = rng.normal(size=(count, 16))
    return (np.eye(16)[number] + spread * off / np.linalg.norm(off, axis=1, keepdims=True)).astype(np.float32)


def crops_of(people: dict[int, int], episode: str = "show.e1", seed: int = 0) -> tuple[list[str], np.ndarray]:
    vectors = np.concatenate([person(number, count, seed) for number, count in people.items()])
    ids = [
        f"{episode}/{1000 * number + i:08d}#person-{number}-0-9-9"
        for number, count in people.items()
        for i in range(count)
    ]
    return ids, vectors


def found_crops(ids: list[str]) -> list[dict]:
    """A row of `crops` for each id, people side by side by the first number behind the kind."""
    rows = []
    for image_id in ids:
        still, _, box = image_id.partition("#")
        kind, x = box.split("-")[:2]
        place = {"x_px": 100 * int(x), "y_px": 0, "width_px": 90, "height_px": 200}
        rows.append({"image_id": image_id, "still_id": still, "kind": kind, "kept": True, **place})
    return rows


def built(ids: list[str], vectors: np.ndarray, **changes: object) -> list[dict]:
    appearances = appearances_of(found_crops(ids), dict(zip(ids, vectors, strict=True)))
    return build_gallery("show", appearances, between, THRESHOLD, settings(**changes))


def test_each_person_with_enough_crops_becomes_a_character():
    ids, vectors = crops_of({0: 12, 1: 7, 2: 4})
    rows = built(ids, vectors)
    assert sorted(row["crops"] for row in rows) == [7, 12]
    assert {row["show"] for row in rows} == {"show"}
    assert all(row["episodes"] == ["show.e1"] and row["name"] == row["character"] for row in rows)
    SCHEMAS["character_gallery"].table(rows)


def test_a_characters_id_is_made_of_its_first_crops_id():
    ids, vectors = crops_of({0: 6})
    (row,) = built(ids, vectors)
    assert row["character"] == "c-" + hashlib.sha256(b"show.e1/00000000#person-0-0-9-9").hexdigest()[:8]


def test_the_order_of_the_crops_changes_nothing():
    ids, vectors = crops_of({0: 15, 1: 9, 2: 6})
    expected = built(ids, vectors)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(ids))
        assert built([ids[i] for i in order], vectors[order]) == expected


def test_a_new_episode_of_the_same_people_keeps_every_id():
    first = crops_of({0: 8, 1: 8}, "show.e1")
    second = crops_of({0: 8, 1: 8, 3: 8}, "show.e2", seed=1)
    before = {row["character"] for row in built(*first)}
    rows = built(first[0] + second[0], np.concatenate([first[1], second[1]]))
    assert len(rows) == 3
    assert before < {row["character"] for row in rows}
    assert sorted(len(row["episodes"]) for row in rows) == [1, 2, 2]


def test_a_limit_in_the_settings_overrides_the_models_own():
    ids, vectors = crops_of({0: 10, 1: 10})
    assert len(built(ids, vectors, max_difference=0.9)) == 1
    assert len(built(ids, vectors)) == 2
    assert built(ids, vectors, max_difference=0.01) == []


def test_no_crops_give_an_empty_gallery():
    assert built([], np.zeros((0, 1), np.float32)) == []


def test_exemplars_are_the_medoid_and_then_the_farthest():
    line = np.array([[0.0], [0.1], [0.2], [0.3], [0.4]])
    assert exemplars_of(np.abs(line - line.T), 1.0, 3) == [2, 0, 4]
    assert exemplars_of(np.abs(line - line.T), 1.0, 99) == [2, 0, 4, 1, 3]


def test_a_member_unlike_most_others_is_no_exemplar():
    line = np.array([[0.0], [0.05], [0.1], [0.15], [0.9]])
    assert 4 not in exemplars_of(np.abs(line - line.T), 0.2, 5)


def test_more_crops_than_fit_together_show_the_same_people(monkeypatch: pytest.MonkeyPatch):
    ids, vectors = crops_of({0: 90, 1: 60, 2: 30, 3: 8})
    expected = built(ids, vectors)
    monkeypatch.setattr(finding, "MAX_COMPARED", 64)
    rows = built(ids, vectors)
    assert [row["crops"] for row in rows] == [row["crops"] for row in expected]
    assert [row["character"] for row in rows] == [row["character"] for row in expected]
    order = np.random.default_rng(1).permutation(len(ids))
    assert built([ids[i] for i in order], vectors[order]) == rows


def test_many_crops_of_nobody_end_the_search(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(finding, "MAX_COMPARED", 20)
    rng = np.random.default_rng(0)
    strangers = rng.normal(size=(100, 16)).astype(np.float32) * 3
    assert built([f"show.e1/{i:08d}#person-0-0-9-9" for i in range(100)], strangers) == []


def assign(vectors: np.ndarray, rows: list[dict], limit: float) -> list[tuple[str | None, float]]:
    """The nearest character within the limit and the difference to it, as `clusters` has them, of crops that each lie
    on a still of their own."""
    crops = [
        {**crop(i, "person", 0, 0, 9, 9), "image_id": f"show.e1/{i:08d}#person-0-0-9-9", "still_id": f"show.e1/{i:08d}"}
        for i in range(len(vectors))
    ]
    embeddings = {row["image_id"]: vector for row, vector in zip(crops, vectors, strict=True)}
    decided = [row for row in decide_clusters([], crops, embeddings, rows, between, limit) if row["kind"] == "person"]
    _, table = character_differences(unit(vectors), rows, between)
    assert [row["difference"] for row in decided] == pytest.approx([min(it, default=None) for it in table.tolist()])
    return [(next(iter(row["characters"]), None), row["difference"]) for row in decided]


def test_a_crop_gets_the_id_of_the_nearest_character_within_the_limit():
    ids, vectors = crops_of({0: 8, 1: 8})
    rows = [{**row, "character": f"c-{row['crops']}", "name": "fern"} for row in built(*crops_of({0: 9, 1: 7}))]
    found = assign(vectors, rows, THRESHOLD)
    assert [character for character, _ in found] == ["c-9"] * 8 + ["c-7"] * 8
    assert all(difference <= THRESHOLD for _, difference in found)
    ((character, difference),) = assign(person(5, 1), rows, THRESHOLD)
    assert character is None
    assert difference > 0.5
    assert assign(vectors, [], THRESHOLD) == [(None, None)] * len(ids)


def crop(number: int, kind: str, x: int, y: int, width: int, height: int, kept: bool = True) -> dict:
    return {
        "image_id": f"show.e1/00000001#{kind}-{number}-0-9-9",
        "still_id": "show.e1/00000001",
        "kind": kind,
        "x_px": x,
        "y_px": y,
        "width_px": width,
        "height_px": height,
        "kept": kept,
    }


def known(*numbers: int) -> list[dict]:
    return [
        {
            "character": f"c-{number}",
            "show": "show",
            "name": f"n{number}",
            "exemplar_ids": [],
            "exemplars": person(number, 4, spread=0.02).tolist(),
            "outfits": [],
        }
        for number in numbers
    ]


def decided(crops: list[dict], vectors: dict[str, np.ndarray], rows: list[dict]) -> dict[str, list[str]]:
    found = decide_clusters(["show.e1/00000001"], crops, vectors, rows, between, THRESHOLD)
    SCHEMAS["clusters"].table(found)
    return {row["image_id"].partition("/")[2]: row["characters"] for row in found}


def test_a_still_shows_whoever_its_crops_show_and_a_head_is_who_the_person_around_it_is():
    crops = [
        crop(1, "person", 0, 0, 300, 700),
        crop(2, "person", 400, 0, 300, 700),
        crop(3, "head", 100, 20, 90, 90),
        crop(4, "head", 500, 20, 90, 90),
        crop(5, "head", 900, 20, 90, 90),
    ]
    vectors = {crops[0]["image_id"]: person(1, 1)[0], crops[1]["image_id"]: person(0, 1)[0]}
    assert decided(crops, vectors, known(0, 1)) == {
        "00000001": ["c-0", "c-1"],
        "00000001#person-1-0-9-9": ["c-1"],
        "00000001#person-2-0-9-9": ["c-0"],
        "00000001#head-3-0-9-9": ["c-1"],
        "00000001#head-4-0-9-9": ["c-0"],
        "00000001#head-5-0-9-9": [],
    }


def test_a_head_inside_two_people_belongs_to_the_smaller_box():
    crops = [crop(1, "person", 0, 0, 900, 700), crop(2, "person", 300, 0, 200, 500), crop(3, "head", 350, 20, 90, 90)]
    vectors = {crops[0]["image_id"]: person(1, 1)[0], crops[1]["image_id"]: person(0, 1)[0]}
    assert decided(crops, vectors, known(0, 1))["00000001#head-3-0-9-9"] == ["c-0"]


def test_the_head_and_the_body_of_one_person_say_together_who_it_is():
    crops = [crop(1, "person", 0, 0, 300, 700), crop(3, "head", 100, 20, 90, 90)]
    body, head = person(0, 1)[0], person(1, 1)[0]
    for share, name in ((0.2, ["c-0"]), (0.8, ["c-1"])):
        vectors = {crops[0]["image_id"]: body, crops[1]["image_id"]: (1 - share) * body + share * head}
        vectors[crops[0]["image_id"]] = vectors[crops[1]["image_id"]] if share > 0.5 else body
        who = decided(crops, vectors, known(0, 1))
        assert who == dict.fromkeys(("00000001#person-1-0-9-9", "00000001#head-3-0-9-9", "00000001"), name)


def test_dropped_crops_have_no_row_and_a_still_without_crops_has_one():
    assert decided([crop(1, "person", 0, 0, 90, 90, kept=False)], {}, known(0)) == {"00000001": []}


def lookalikes(near: float, far: float) -> dict[str, np.ndarray]:
    """Two crops at these differences from character 0."""
    center = np.mean(person(0, 4, spread=0.02), axis=0)
    step = np.eye(16)[9].astype(np.float32)
    return {
        "show.e1/00000001#person-1-0-9-9": center + 2 * near * step,
        "show.e1/00000001#person-2-0-9-9": center + 2 * far * step,
    }


def test_of_two_people_in_a_still_the_nearer_gets_the_name():
    crops = [crop(1, "person", 0, 0, 300, 700), crop(2, "person", 400, 0, 300, 700)]
    who = decided(crops, lookalikes(0.05, 0.15), known(0))
    assert who["00000001#person-1-0-9-9"] == ["c-0"]
    assert who["00000001#person-2-0-9-9"] == []


def test_a_person_found_twice_in_one_place_has_one_name():
    crops = [crop(1, "person", 0, 0, 300, 700), crop(2, "person", 20, 0, 300, 700)]
    who = decided(crops, lookalikes(0.05, 0.15), known(0))
    assert who["00000001#person-1-0-9-9"] == who["00000001#person-2-0-9-9"] == ["c-0"]


def test_crops_beyond_doubt_may_share_a_name_as_in_a_mirror():
    crops = [crop(1, "person", 0, 0, 300, 700), crop(2, "person", 400, 0, 300, 700)]
    who = decided(crops, lookalikes(0.02, 0.03), known(0))
    assert who["00000001#person-2-0-9-9"] == ["c-0"]


def test_whoever_loses_a_name_may_take_the_next_best():
    crops = [crop(1, "person", 0, 0, 300, 700), crop(2, "person", 400, 0, 300, 700)]
    vectors = lookalikes(0.05, 0.13)
    other = {"character": "c-9", "show": "show", "name": "n9", "exemplar_ids": [], "exemplars": [], "outfits": []}
    loser = vectors[crops[1]["image_id"]]
    other["exemplars"] = [(loser + 2 * 0.16 * np.eye(16)[10]).astype(np.float32).tolist()]
    assert decided(crops, vectors, [*known(0), other])["00000001#person-2-0-9-9"] == ["c-9"]


def test_clusters_do_not_depend_on_the_order_of_the_crops():
    rng = np.random.default_rng(5)
    crops = [crop(i, "person", int(x), 0, 200, 600) for i, x in enumerate(rng.integers(0, 1000, 12))]
    vectors = {row["image_id"]: person(i % 3, 1, seed=i, spread=0.25)[0] for i, row in enumerate(crops)}
    expected = decided(crops, vectors, known(0, 1, 2))
    assert decided(crops[::-1], dict(reversed(vectors.items())), known(2, 1, 0)) == expected


def test_the_gallery_of_a_show_holds_its_characters_as_arrays():
    one, other = built(*crops_of({0: 6, 1: 8}, "one.e1")), built(*crops_of({0: 6}, "other.e1"))
    rows = [{**row, "show": "one"} for row in one] + [{**row, "show": "other"} for row in other]
    galleries = galleries_by_show(SCHEMAS["character_gallery"].table(rows))
    for show in ("one", "other"):
        expected = [row for row in rows if row["show"] == show]
        found = galleries[show]
        assert [(row["character"], row["name"]) for row in found] == [(r["character"], r["name"]) for r in expected]
        for row, wanted in zip(found, expected, strict=True):
            assert (row["exemplars"] == np.array(wanted["exemplars"], np.float32)).all()
    assert galleries_by_show(SCHEMAS["character_gallery"].empty()) == {}


@pytest.mark.parametrize("characters", [2, 16])
def test_an_episode_is_compared_with_all_characters_and_outfits_at_once(characters: int):
    asked = []

    def counting(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        asked.append((len(ours), len(theirs)))
        return between(ours, theirs)

    rows = known(*range(characters))
    for row in rows:
        row["outfits"] = [{"outfit": 1, "exemplar_ids": row["exemplar_ids"], "exemplars": row["exemplars"]}]
    crops = [crop(number, "person", 100 * number, 0, 90, 200) for number in range(2)]
    vectors = {row["image_id"]: person(i, 1)[0] for i, row in enumerate(crops)}
    found = decide_clusters([], crops, vectors, rows, counting, THRESHOLD)
    assert [(row["characters"], row["outfit"]) for row in found if row["kind"] == "person"] == [
        (["c-0"], 1),
        (["c-1"], 1),
    ]
    assert asked == [(2, 4 * characters)] * 2
