from __future__ import annotations

import random
from collections import Counter

from dataset_pipeline.settings import ConceptBalanceSettings, load_settings, resources_folder
from dataset_pipeline.training.quotas import over_quota

DEFAULTS = load_settings(resources_folder() / "settings.toml").concept_balance
QUALITY = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.5, "e": 0.1}


def settings(**changes: int) -> ConceptBalanceSettings:
    return DEFAULTS.model_copy(update=changes)


def images(**characters: str) -> list[dict]:
    """An image of each name with the characters whose initials are given."""
    return [
        {"image_id": name, "quality": QUALITY.get(name), "characters": list(who)} for name, who in characters.items()
    ]


def left_out(rows: list[dict], **quotas: int) -> set[str]:
    return over_quota(rows, {row["image_id"]: "+".join(row["characters"]) for row in rows}, settings(**quotas))


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
