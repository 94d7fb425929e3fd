from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from dataset_pipeline.settings import ConceptBalanceSettings, SelectionSettings, load_settings, resources_folder
from dataset_pipeline.training.quotas import left_out_of_set

DEFAULT_FILE = resources_folder() / "settings.toml"
DEFAULTS = load_settings(DEFAULT_FILE).concept_balance
QUALITY = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.5, "e": 0.1}


def settings_of(**changes: int) -> ConceptBalanceSettings:
    return DEFAULTS.model_copy(update=changes)


def images(**characters: str) -> list[dict]:
    """An image of each name with the characters whose initials are given."""
    return [
        {"image_id": name, "quality": QUALITY.get(name), "characters": list(who)} for name, who in characters.items()
    ]


def left_out(rows: list[dict], **quotas: int) -> set[str]:
    concepts = {row["image_id"]: "+".join(row["characters"]) for row in rows}
    return set(left_out_of_set(rows, concepts, settings_of(**quotas)).reasons)


def test_without_a_quota_all_images_stay():
    assert left_out(images(a="F", b="F", c="", d="FS", e="S")) == set()


def test_the_best_images_of_a_concept_stay_and_of_equal_ones_the_first_by_id():
    rows = images(a="F", b="F", c="F", d="F", e="S")
    assert left_out(rows, max_images_per_concept=2) == {"b", "d"}
    assert left_out(rows, max_images_per_concept=3) == {"d"}
    assert left_out(rows, max_images_per_concept=4) == set()


def test_an_image_of_two_characters_takes_a_place_of_each():
    # a shows Fern and Stark and is taken first, so c is a Fern too many and e a Stark too many; b and d show nobody.
    rows = images(e="S", d="", c="F", b="", a="FS")
    assert left_out(rows, max_images_per_character=1) == {"c", "e"}
    assert left_out(rows, max_images_per_character=2) == set()


def test_looks_and_outfits_of_a_character_share_its_quota():
    rows = [row | {"characters": [f"Fern|{row['image_id']}"]} for row in images(a="", b="", c="")]
    assert left_out(rows, max_images_per_character=2) == {"b"}
    rows[0]["characters"] = ["Fern|x", "Fern|y"]
    assert left_out(rows, max_images_per_character=2) == {"b"}


def test_the_best_images_of_all_stay():
    assert left_out(images(a="F", b="S", c="", d="F", e="F"), max_images=3) == {"d", "e"}


def test_quotas_work_together_and_an_image_left_out_takes_no_place():
    rows = images(a="F", b="S", c="F", d="S", e="")
    assert left_out(rows, max_images_per_concept=1) == {"c", "d"}
    assert left_out(rows, max_images_per_character=1, max_images=3) == {"c", "d"}
    assert left_out(rows, max_images_per_character=1, max_images=2) == {"c", "d", "e"}


def test_images_without_a_score_go_last():
    rows = [*images(e="F", x="F"), {"image_id": "n", "quality": float("nan"), "characters": ["F"]}]
    assert left_out(rows, max_images=2) == {"x"}
    assert left_out(rows, max_images=1) == {"n", "x"}


def test_in_any_set_no_quota_is_exceeded_and_nobody_is_left_out_where_there_is_room():
    rng = random.Random(4)
    for _ in range(100):
        rows = [
            {"image_id": f"{number:03d}", "quality": rng.choice([0.1, 0.2, 0.3]), "characters": rng.sample("FSE", k)}
            for number in range(rng.randrange(60))
            for k in [rng.randrange(3)]
        ]
        quotas = {
            name: rng.choice([0, 3, 10])
            for name in ("max_images_per_concept", "max_images_per_character", "max_images")
        }
        gone = left_out(rows, **quotas)
        kept = [row for row in rows if row["image_id"] not in gone]
        concepts = Counter("+".join(row["characters"]) for row in kept)
        characters = Counter(name for row in kept for name in row["characters"])
        for counts, quota in (
            (concepts, quotas["max_images_per_concept"]),
            (characters, quotas["max_images_per_character"]),
            (Counter({"all": len(kept)}), quotas["max_images"]),
        ):
            assert not quota or max(counts.values(), default=0) <= quota
        for row in rows:
            if row["image_id"] in gone:
                full = [concepts["+".join(row["characters"])] == quotas["max_images_per_concept"] > 0]
                full += [characters[name] == quotas["max_images_per_character"] > 0 for name in row["characters"]]
                assert any(full) or len(kept) == quotas["max_images"] > 0
        rng.shuffle(rows)
        assert left_out(rows, **quotas) == gone


def cut(**changes: Any) -> SelectionSettings:
    return load_settings(DEFAULT_FILE, **{f"selection__{name}": value for name, value in changes.items()}).selection


def season() -> tuple[list[dict], dict[str, str], dict[str, dict[str, Any]]]:
    """100 images of two shots as a metric scores them that dislikes the dark and Stark: every fifth is dark, every
    tenth shows Stark, all others Fern. (images, concepts, strata)."""
    rows, queries, shots = [], {}, {}
    for number in range(100):
        dark, stark = number % 5 == 1, number % 10 == 2
        image_id = f"show.e1/{number:08d}"
        score = 0.7 + number / 1000 - 0.3 * (dark or stark)
        who = ["Stark" if stark else "Fern"]
        rows.append({"image_id": image_id, "quality": score, "characters": who, "kind": "still", "by_hand": False})
        queries[image_id] = ["dark"] if dark else []
        shots[image_id] = f"show.e1/{number // 50}"
    return rows, dict.fromkeys(queries, "all"), {"query": queries, "shot": shots}


QUERIES = [{"name": "dark", "query": "night or dark"}]


def test_cut_at_one_score_the_dark_scenes_and_one_character_vanish_and_in_strata_each_keeps_its_share():
    rows, concepts, strata = season()
    dark = {row["image_id"] for row in rows if "dark" in strata["query"][row["image_id"]]}
    stark = {row["image_id"] for row in rows if row["characters"] == ["Stark"]}
    how = {"how": "keep_best", "by": "count", "amount": 50.0}

    whole = left_out_of_set(rows, concepts, DEFAULTS, cut(**how, strata=["character"], in_strata=False))
    kept = {row["image_id"] for row in rows} - whole.reasons.keys()
    assert (len(kept), len(kept & dark), len(kept & stark)) == (50, 0, 0)
    assert whole.mean_lost == 0
    assert "| Stark | 10 | 0 | 10.0% | 0.0% |" in whole.losses

    shares = cut(**how, strata=["character", "query"], queries=QUERIES, in_strata=True)
    found = left_out_of_set(rows, concepts, DEFAULTS, shares, strata)
    kept = {row["image_id"] for row in rows} - found.reasons.keys()
    assert (len(kept), len(kept & dark), len(kept & stark)) == (50, 10, 5)
    assert set(found.reasons.values()) == {"enough"}
    # 15 of the best 50 made room for 10 dark ones and 5 of Stark, which are 0.3 worse: about 15 * 0.3 / 50 of the mean.
    scores = sorted((row["quality"] for row in rows), reverse=True)
    mean = sum(row["quality"] for row in rows if row["image_id"] in kept) / 50
    assert found.mean_lost == pytest.approx(sum(scores[:50]) / 50 - mean)
    assert found.mean_lost == pytest.approx(0.07992)
    assert "| Fern / dark | 20 | 10 | 20.0% | 20.0% |" in found.losses
    assert "| Stark / none | 10 | 5 | 10.0% | 10.0% |" in found.losses
    assert f"The mean score is {found.mean_lost:.4g} worse than that of as many of the best images." in found.losses


def test_a_floor_keeps_the_best_of_a_character_whatever_the_cut_says():
    rows, concepts, strata = season()
    settings = cut(by="score", amount=0.6, strata=["character"], floor=3)
    found = left_out_of_set(rows, concepts, DEFAULTS, settings, strata)
    stark = [row["image_id"] for row in rows if row["characters"] == ["Stark"]]
    assert [image_id for image_id in stark if image_id not in found.reasons] == stark[-3:]
    assert set(found.reasons.values()) == {"low_score"}


def test_shots_and_quotas_of_both_sections_go_together():
    rows, concepts, strata = season()
    settings = cut(strata=["shot"], quota=10)
    found = left_out_of_set(rows, concepts, settings_of(max_images_per_character=15), settings, strata)
    kept = [row for row in rows if row["image_id"] not in found.reasons]
    assert Counter(strata["shot"][row["image_id"]] for row in kept) == {"show.e1/0": 10, "show.e1/1": 10}
    assert Counter(name for row in kept for name in row["characters"]) == {"Fern": 15, "Stark": 5}
    assert Counter(found.reasons.values()).keys() == {"stratum_full", "character_full"}


def test_of_one_still_so_many_stay_and_what_a_person_chose_goes_first():
    rows = images(a="F", b="F", c="S")
    for row, image_id in zip(rows, ("s.e/00000001", "s.e/00000001#head-1-1-1-1", "s.e/00000002"), strict=True):
        row |= {"image_id": image_id, "kind": "still", "by_hand": False}
    concepts = {row["image_id"]: "all" for row in rows}
    found = left_out_of_set(rows, concepts, DEFAULTS, cut(per_source=1))
    assert found.reasons == {"s.e/00000001#head-1-1-1-1": "source_full"}
    rows[1]["by_hand"] = True
    assert left_out_of_set(rows, concepts, DEFAULTS, cut(per_source=1)).reasons == {"s.e/00000001": "source_full"}
    best = cut(how="keep_best", by="count", amount=1.0)
    assert left_out_of_set(rows, concepts, DEFAULTS, best).reasons.keys() == {"s.e/00000001", "s.e/00000002"}


@pytest.mark.parametrize("how", ["drop_worst", "keep_best"])
@pytest.mark.parametrize("by", ["count", "percentile", "score"])
@pytest.mark.parametrize("in_strata", [False, True])
def test_no_cut_leaves_out_what_a_person_chose_and_the_others_are_cut_among_themselves(
    how: str, by: str, in_strata: bool
):
    rows, concepts, strata = season()
    for row in rows:  # those a person chose, a fifth of all and a stratum of their own, are those a metric dislikes
        row["by_hand"] = bool(strata["query"][row["image_id"]])
    amount = {"count": 60.0 if how == "keep_best" else 40.0, "percentile": 50.0, "score": 0.75}[by]
    settings = cut(how=how, by=by, amount=amount, strata=["query"], queries=QUERIES, in_strata=in_strata)
    found = left_out_of_set(rows, concepts, DEFAULTS, settings, strata)
    others = sorted((row["quality"] for row in rows if not row["by_hand"]), reverse=True)
    kept = [row for row in rows if row["image_id"] not in found.reasons]
    assert [row for row in kept if row["by_hand"]] == [row for row in rows if row["by_hand"]]
    stay = 40 if by != "score" else sum(score >= 0.75 for score in others)
    assert sorted((row["quality"] for row in kept if not row["by_hand"]), reverse=True) == others[:stay]
    assert found.mean_lost == 0
    assert "dark" not in found.losses


def test_where_a_quota_has_not_room_for_all_that_a_person_chose_the_best_of_it_stay():
    rows, concepts, _ = season()
    for row in rows[:10]:
        row["by_hand"] = True
    few = cut(how="keep_best", by="count", amount=3.0)
    kept = [row["image_id"] for row in rows]
    gone = left_out_of_set(rows, concepts, DEFAULTS, few).reasons
    assert [it for it in kept if it not in gone] == kept[:10]
    gone = left_out_of_set(rows, concepts, settings_of(max_images_per_concept=2), few).reasons
    assert [it for it in kept if it not in gone] == [kept[8], kept[9]]
