"""Who is who by reference pictures, in two dimensions where a difference is half the distance."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from dataset_pipeline.characters.appearances import Appearances
from dataset_pipeline.characters.building import build_gallery
from dataset_pipeline.characters.gallery import Naming, decide_clusters
from dataset_pipeline.characters.references import (
    NOBODY,
    USUAL_TRAITS,
    Named,
    ReferenceSet,
    name_appearances,
    reference_set,
    trait_differences,
    traits_of,
    typical_of,
)
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.schemas import SCHEMAS

GALLERY = load_settings(DEFAULTS, character_gallery__min_crops=2).character_gallery
NAMING = load_settings(DEFAULTS).named_characters
NO_PAIRS = np.zeros((0, 2), np.int64)
THRESHOLD = 0.2
ANN, BEN, NOISE = 0, 1, -1


def differences(these: np.ndarray, those: np.ndarray | None = None) -> np.ndarray:
    those = these if those is None else those
    return np.linalg.norm(these[:, None] - those[None], axis=2) / 2


def references(*shown: tuple[int, float], outfits: tuple[str, ...] = (), traits: list | None = None) -> ReferenceSet:
    """Owners and places on a line."""
    owners, places = zip(*shown, strict=True)
    return ReferenceSet(
        ("Ann", "Ben"),
        np.array(owners),
        outfits or ("",) * len(shown),
        tuple(map(str, range(len(shown)))),
        np.array([[place, 0.0] for place in places], np.float32),
        csr_array(np.array(traits or [[0.0, 0.0]] * len(shown))),
        ("red_hair", "blue_hair"),
    )


def name(
    places: list[float],
    given: ReferenceSet,
    rivals: list | None = None,
    traits: list | None = None,
    **changes: float,
) -> Named:
    usual = {"max_difference": 0.0, "min_margin": 0.0, "trait_weight": 0.2, "same_still_penalty": 0.1}
    return name_appearances(
        np.array([[place, 0.0] for place in places], np.float32),
        csr_array(np.array(traits or [[0.0, 0.0]] * len(places))),
        np.array(rivals, np.int64) if rivals else NO_PAIRS,
        given,
        differences,
        THRESHOLD,
        SimpleNamespace(**usual | changes),  # type: ignore[arg-type]
    )


def test_an_appearance_bears_the_nearest_name_within_the_threshold():
    found = name([0.0, 0.3, 0.9, 3.0], references((ANN, 0.0), (BEN, 1.0)))
    assert found.numbers.tolist() == [ANN, ANN, BEN, NOBODY]
    assert found.differences[:3] == pytest.approx([0.0, 0.15, 0.05])
    assert found.nearest.tolist() == [0, 0, 1, 1]


def test_the_two_nearest_references_of_a_name_count_so_that_an_odd_one_decides_nothing():
    odd = references((ANN, 0.0), (ANN, 0.1), (ANN, 0.9), (BEN, 1.0), (BEN, 1.1))
    assert name([0.95], odd).numbers.tolist() == [BEN]


def test_a_name_is_as_near_as_its_nearest_outfit():
    shown = ((ANN, 0.0), (ANN, 0.0), (ANN, 1.0), (BEN, 1.4), (BEN, 1.4))
    assert name([1.1], references(*shown)).numbers.tolist() == [BEN]
    outfits = ("dress", "dress", "coat", "", "")
    assert name([1.1], references(*shown, outfits=outfits)).numbers.tolist() == [ANN]


def test_what_is_nearer_to_noise_is_nobody():
    assert name([0.2, 0.05], references((ANN, 0.0), (NOISE, 0.25))).numbers.tolist() == [NOBODY, ANN]


def test_who_is_about_as_near_to_a_second_name_is_nobody_and_its_margin_is_told():
    found = name([0.49, 0.3], references((ANN, 0.0), (BEN, 1.0)), min_margin=0.02, max_difference=0.3)
    assert found.numbers.tolist() == [NOBODY, ANN]
    assert found.margins == pytest.approx([0.01, 0.15])  # to Ben, and to being nobody


def test_traits_are_a_further_vote():
    given = references((ANN, 0.0), (BEN, 0.2), traits=[[1.0, 0.0], [0.0, 1.0]])
    assert name([0.09], given).numbers.tolist() == [ANN]
    assert name([0.09], given, traits=[[0.0, 1.0]]).numbers.tolist() == [BEN]
    assert name([0.09], given, traits=[[0.0, 1.0]], trait_weight=0.0).numbers.tolist() == [ANN]


def test_traits_differ_from_none_to_all_and_as_usual_where_nothing_is_known():
    one = csr_array(np.array([[0.5, 0.0], [0.0, 0.0]]))
    other = csr_array(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    assert trait_differences(one, other).tolist() == [
        pytest.approx([0.0, 1.0, 1 - np.sqrt(0.5)]),
        [USUAL_TRAITS] * 3,
    ]


def test_two_people_on_one_still_do_not_both_bear_a_name_that_fits_one_of_them_better():
    given = references((ANN, 0.0), (BEN, 0.2))
    assert name([0.02, 0.09], given).numbers.tolist() == [ANN, ANN]
    assert name([0.02, 0.09], given, [[0, 1]]).numbers.tolist() == [ANN, BEN]


def test_a_mirror_shows_one_person_twice():
    assert name([0.02, 0.03], references((ANN, 0.0), (BEN, 0.9)), [[0, 1]]).numbers.tolist() == [ANN, ANN]


def test_of_two_who_claim_a_name_the_doubtful_one_is_nobody():
    found = name([0.02, 0.36], references((ANN, 0.0), (BEN, 9.0)), [[0, 1]])
    assert found.numbers.tolist() == [ANN, NOBODY]


def test_three_on_one_still_are_named_together():
    given = references((ANN, 0.0), (BEN, 0.3))
    found = name([0.0, 0.14, 0.31], given, [[0, 1], [0, 2], [1, 2]], max_difference=0.05)
    assert found.numbers.tolist() == [ANN, NOBODY, BEN]


def test_the_order_of_appearances_plays_no_part():
    draw = np.random.default_rng(3)
    places, pairs = draw.uniform(0, 1, 60), draw.permutation(60).reshape(-1, 2)
    given = references((ANN, 0.2), (ANN, 0.4), (BEN, 0.6), (BEN, 0.9), (NOISE, 0.0))
    numbers = name(places.tolist(), given, pairs.tolist()).numbers
    order = draw.permutation(60)
    place = np.argsort(order)
    again = name(places[order].tolist(), given, place[pairs].tolist()).numbers
    assert again.tolist() == numbers[order].tolist()


def test_of_two_who_are_equally_far_from_a_name_the_same_one_bears_it_in_each_order():
    given = references((ANN, 0.2), (ANN, 0.4))  # as far from both together are all between them
    for one, other in ((0.25, 0.35), (0.22, 0.3), (0.31, 0.39)):
        found, again = (
            name(places, given, [[0, 1]], max_difference=0.1, same_still_penalty=0.1).numbers.tolist()
            for places in ([one, other], [other, one])
        )
        assert sorted(found) == [NOBODY, ANN]
        assert again == found[::-1]


def test_no_appearances_and_no_references_are_no_error():
    none = ReferenceSet((), np.zeros(0, np.int64), (), (), np.zeros((0, 2), np.float32), csr_array((0, 0)), ())
    assert name([0.1, 0.2], none).numbers.tolist() == [NOBODY] * 2
    assert name_appearances(
        np.zeros((0, 2), np.float32), csr_array((0, 2)), NO_PAIRS, references((ANN, 0.0)), differences, 0.2, NAMING
    ).numbers.tolist() == []  # fmt: skip


def row(file: str, name: str, views: list, sha256: str = "w", traits: dict | None = None) -> dict:
    return {
        "file": file,
        "name": name,
        "outfit": "",
        "sha256": file,
        "views": [{"kind": "person", "embedding": view} for view in views],
        "traits": [{"tag": tag, "score": score} for tag, score in (traits or {}).items()],
        "model_sha256": sha256,
    }


def test_a_set_of_references_is_the_table_without_what_other_weights_made():
    rows = [row("a", "Ann", [[2.0, 0.0], [0.0, 5.0]], traits={"red_hair": 0.5, "blue_hair": 0.0})]
    rows += [row("b", "", [[1.0, 0.0]]), row("c", "Cid", [[1.0, 0.0]], sha256="other")]
    found = reference_set(SCHEMAS["reference_embeddings"].table(rows), "w")
    assert (found.names, found.owners.tolist(), found.files) == (("Ann",), [ANN, NOISE], ("a", "b"))
    assert found.vectors.tolist() == [pytest.approx([np.sqrt(0.5)] * 2), [1.0, 0.0]]
    assert (found.tags, found.traits.toarray().tolist()) == (("blue_hair", "red_hair"), [[0.0, 0.5], [0.0, 0.0]])
    assert len(reference_set(SCHEMAS["reference_embeddings"].table(rows), "nobody's")) == 0


def appearances(*crops: tuple[str, ...], places: list[float], rivals: np.ndarray = NO_PAIRS) -> Appearances:
    vectors = np.array([[place, 0.0] for place in places], np.float32)
    stills = [tuple(sorted({crop.partition("#")[0] for crop in of_one})) for of_one in crops]
    return Appearances(crops, stills, vectors, vectors, rivals)


def test_the_traits_of_an_appearance_are_the_mean_of_its_crops():
    scores = [{"tag": tag, "category": "general", "score": score} for tag, score in (("red_hair", 0.5), ("hat", 0.9))]
    same = {"pixel_sha256": "", "model_sha256": "", "algorithm": ""}
    table = SCHEMAS["tag_scores"].table(
        [{"image_id": "a", "tags": scores, **same}, {"image_id": "b", "tags": [], **same}]
    )
    people = appearances(("a", "b"), ("a",), ("c",), places=[0.0] * 3)
    for tags in (table, pa.concat_tables([table.slice(0, 1), table.slice(1)])):
        assert traits_of(people, tags, ("blue_hair", "red_hair")).toarray().tolist() == [[0, 0.25], [0, 0.5], [0, 0]]


def test_whoever_bears_one_name_is_one_character_and_the_others_are_clustered():
    people = appearances(*((f"show.e1/{i:08d}#head-1-1-1-1",) for i in range(5)), places=[0.0, 0.9, 0.01, 0.02, 0.03])
    rows = build_gallery("show", people, differences, THRESHOLD, GALLERY, names=["Ann", "Ann", "", "", ""])
    assert sorted((r["name"] == "Ann", r["crops"]) for r in rows) == [(False, 3), (True, 2)]
    assert all(r["character"].startswith("c-") for r in rows)
    [other] = [r for r in rows if r["name"] != "Ann"]
    assert other["name"] == other["character"]


def test_names_go_before_resemblance_and_who_bears_none_is_sought_among_the_unnamed():
    box = {"x_px": 0, "y_px": 0, "width_px": 9, "height_px": 9, "kept": True, "kind": "head"}
    crops = [{"image_id": f"s{i}#h", "still_id": f"s{i}", **box} for i in range(3)]
    vectors = {"s0#h": [1.0, 0.0], "s1#h": [1.0, 0.0], "s2#h": [0.0, 1.0]}
    gallery = [
        {"character": "c-1", "name": "Ann", "reference_names": ["Ann"], "outfits": [], "exemplars": [[1.0, 0.0]]},
        {"character": "c-2", "name": "c-2", "outfits": [], "exemplars": [[0.0, 1.0]]},
    ]
    given = Naming(["Ann", "", ""], [0.05, 9.0, 9.0])
    rows = decide_clusters(
        ["s0", "s1", "s2"],
        crops,
        {image_id: np.array(vector, np.float32) for image_id, vector in vectors.items()},
        gallery,
        differences,
        THRESHOLD,
        lambda people: given,
    )
    found = {r["image_id"]: r["characters"] for r in rows}
    assert found == {"s0": ["c-1"], "s0#h": ["c-1"], "s1": [], "s1#h": [], "s2": ["c-2"], "s2#h": ["c-2"]}


def test_typical_is_who_is_near_to_all_others_of_each_look_first_and_never_a_stranger():
    places = np.array([0.0, 0.1, 0.2, 0.1, 0.15, 5.0, -5.0, 9.0])[:, None]
    looks = ["e1", "e1", "e1", "e1", "e2", "e3", "e3", "e4"]
    assert typical_of(differences(places), looks, 3) == [1, 4, 3]
    assert set(typical_of(differences(places), looks, 4)) <= {0, 1, 2, 3, 4}
    assert typical_of(differences(places[:2]), looks[:2], 3) == [0, 1]
