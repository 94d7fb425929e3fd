from __future__ import annotations

import random
from dataclasses import asdict
from fnmatch import fnmatchcase

import pytest

from dataset_pipeline.settings import ConceptWeight
from dataset_pipeline.training.balance import CONCEPTS_SHOWN, ConceptShare, balance, balance_markdown, virtual_size


def weights(**pairs: float) -> list[ConceptWeight]:
    return [ConceptWeight(pattern=pattern, weight=weight) for pattern, weight in pairs.items()]


def by_concept(shares: list[ConceptShare]) -> dict[str, ConceptShare]:
    return {share.concept: share for share in shares}


# concept, images, probability, unlimited multiply, final multiply to two decimals
FIFTEEN_FOLDERS = [
    ("booru/1_character/Terakomari", 145, 0.039473684210526314, 1.0, 1.0),
    ("screenshots/0_characters/character_others", 337, 0.125, 1.3625123639960437, 1.36),
    ("screenshots/1_character/Terakomari", 147, 0.078125, 1.9522392290249437, 1.95),
    ("booru/1_character/Villhaze", 53, 0.039473684210526314, 2.7358490566037736, 2.74),
    ("screenshots/1_character/Villhaze", 70, 0.078125, 4.099702380952381, 4.1),
    ("screenshots/2_characters/Terakomari+Villhaze", 53, 0.08928571428571429, 6.188230008984727, 6.19),
    ("booru/1_character/character_others", 18, 0.031578947368421054, 6.4444444444444455, 6.44),
    ("screenshots/1_character/Sakuna", 42, 0.078125, 6.832837301587302, 6.83),
    ("booru/2+_characters/Terakomari+Villhaze", 28, 0.05555555555555556, 7.288359788359791, 7.29),
    ("booru/1_character/Sakuna", 18, 0.039473684210526314, 8.055555555555555, 8.06),
    ("booru/2+_characters/character_others", 15, 0.04444444444444445, 10.883950617283954, 10.88),
    ("screenshots/1_character/Millicent", 21, 0.078125, 13.665674603174605, 13.67),
    ("screenshots/2_characters/character_others", 10, 0.07142857142857144, 26.238095238095244, 26.24),
    ("screenshots/1_character/character_others", 7, 0.0625, 32.79761904761905, 32.8),
    ("screenshots/2_characters/Terakomari", 2, 0.08928571428571429, 163.98809523809527, 100.0),
]
FIFTEEN_WEIGHTS = [
    ConceptWeight(pattern=pattern, weight=weight)
    for pattern, weight in [
        ("screenshots", 3),
        ("0_characters", 0.5),
        ("1_character", 1.5),
        ("2_characters", 1),
        ("character_others", 0.8),
    ]
]


def test_fifteen_folders_of_a_real_set_have_their_known_shares():
    counts = {concept: images for concept, images, *_ in FIFTEEN_FOLDERS}
    shares = by_concept(balance(counts, FIFTEEN_WEIGHTS, 1.0, 100.0))
    assert len(shares) == 15
    for concept, images, probability, unlimited, final in FIFTEEN_FOLDERS:
        share = shares[concept]
        assert share.images == images
        assert share.probability == pytest.approx(probability, rel=1e-9)
        assert share.unlimited_multiply == pytest.approx(unlimited, rel=1e-9)
        assert round(share.multiply, 2) == final
    rounded = {concept: round(share.multiply, 2) for concept, share in shares.items()}
    assert sum(counts.values()) == 966
    assert sum(counts[concept] * rounded[concept] for concept in counts) == pytest.approx(3544.51)


def report_rows(shares: list[ConceptShare], **over_quota: list[str]) -> list[dict]:
    return [asdict(share) | {"over_quota": over_quota.get(share.concept, [])} for share in shares]


def test_the_report_of_a_real_set_has_its_known_totals():
    counts = {concept: images for concept, images, *_ in FIFTEEN_FOLDERS}
    rows = report_rows(balance(counts, FIFTEEN_WEIGHTS, 1.0, 100.0))
    assert virtual_size(rows) == pytest.approx(3544.51, abs=1e-9)
    lines = balance_markdown(rows).splitlines()
    assert lines[-2:] == ["", "number of images 966; virtual dataset size 3544.51"]
    assert lines[2] == "| screenshots/0_characters/character_others | 0.1250 | 337 | 1.36 | 1.36 | 458.32 |"
    assert "| screenshots/2_characters/Terakomari | 0.0893 | 2 | 163.99 | 100.00 | 200.00 |" in lines
    assert len(lines) == 2 + 15 + 2


def test_a_long_report_sums_up_what_it_does_not_show():
    rows = report_rows(
        balance({f"c{number:03d}": 1 for number in range(CONCEPTS_SHOWN + 50)}, [], 1.0, 10.0), c007=["x"]
    )
    lines = balance_markdown(rows).splitlines()
    assert lines[2].startswith("| c000 |")
    assert lines[-3:] == [
        "| and 50 more | 0.2000 | 50 | | | 50.00 |",
        "",
        "number of images 250; virtual dataset size 250.00; over quota 1",
    ]


def test_the_report_of_an_empty_set_says_so():
    assert balance_markdown([]).splitlines()[-1] == "number of images 0; virtual dataset size 0.00"


def test_the_weights_of_the_written_example_give_its_probabilities_and_multiplies():
    counts = {
        f"{parent}/{leaf}": 10
        for parent, leaf in [
            ("1_character", "class1"),
            ("1_character", "class2"),
            ("others", "class1"),
            ("others", "class3"),
        ]
    }
    listed = weights(**{"1_character": 3, "class1": 4, "*class2": 6})
    shares = by_concept(balance(counts, listed, 1.0, 100.0))
    assert {concept: share.probability for concept, share in shares.items()} == pytest.approx(
        {"1_character/class1": 0.30, "1_character/class2": 0.45, "others/class1": 0.20, "others/class3": 0.05}
    )
    assert [round(share.multiply, 9) for share in shares.values()] == [6, 9, 4, 1]


def test_an_exact_name_goes_before_patterns_and_of_patterns_the_first_counts():
    counts = {"a/x": 1, "a/y": 1}
    listed = weights(**{"*x": 7, "x": 3, "a/*": 2})
    shares = by_concept(balance(counts, listed, 1, 100))
    assert shares["a/x"].probability == pytest.approx(3 / 5)
    assert by_concept(balance(counts, weights(**{"a/*": 2, "*x": 7}), 1, 100))["a/x"].probability == 0.5


def test_a_star_crosses_slashes_and_capitals_count():
    shares = by_concept(balance({"a/b/x": 1, "a/b/y": 1, "a/b/X": 1}, weights(**{"a*x": 2}), 1, 100))
    assert [shares[f"a/b/{name}"].probability for name in "xyX"] == pytest.approx([0.5, 0.25, 0.25])


def test_a_folders_own_images_compete_as_one_more_child_with_its_weight():
    shares = by_concept(balance({"a": 10, "a/x": 5, "a/y": 5}, weights(a=2), 1, 100))
    assert {concept: share.probability for concept, share in shares.items()} == pytest.approx(
        {"a": 0.5, "a/x": 0.25, "a/y": 0.25}
    )
    assert {concept: share.multiply for concept, share in shares.items()} == pytest.approx({"a": 1, "a/x": 1, "a/y": 1})


def test_concepts_without_images_take_no_share():
    shares = balance({"a/x": 3, "a/y": 0, "b/z": 0}, [], 1, 100)
    assert [(share.concept, share.probability, share.multiply) for share in shares] == [("a/x", 1.0, 1.0)]
    assert balance({}, [], 1, 100) == []
    assert balance({"a": 0}, [], 1, 100) == []


def test_a_multiply_is_never_above_its_maximum_and_starts_at_its_minimum():
    shares = by_concept(balance({"a": 1000, "b": 1}, [], 0.5, 20))
    assert (shares["a"].multiply, shares["b"].multiply) == (0.5, 20)
    assert shares["b"].unlimited_multiply == pytest.approx(500)


@pytest.mark.parametrize("concept", ["/a", "a/", "a//b", "a/../b", "./a"])
def test_what_is_no_path_is_refused(concept: str):
    with pytest.raises(ValueError, match="is no path"):
        balance({concept: 1}, [], 1, 100)
    with pytest.raises(ValueError, match="-1 images"):
        balance({"a": -1}, [], 1, 100)


def random_set(rng: random.Random) -> tuple[dict[str, int], list[ConceptWeight]]:
    names = ["0_characters", "1_character", "2_characters", "fern", "stark", "fern+stark", "character_others"]
    counts = {
        "/".join(rng.choices(names, k=rng.randrange(1, 5))): rng.randrange(0, 400) for _ in range(rng.randrange(1, 40))
    }
    patterns = [*names, "*fern*", "1_*", "*/stark", "?_characters*"]
    listed = [
        ConceptWeight(pattern=pattern, weight=rng.choice([0.1, 0.5, 1, 3, 20]))
        for pattern in rng.sample(patterns, rng.randrange(6))
    ]
    return counts, listed


def test_in_any_set_probabilities_sum_to_one_the_least_likely_image_gets_the_minimum_and_order_is_nothing():
    rng = random.Random(7)
    for _ in range(200):
        counts, listed = random_set(rng)
        low = rng.choice([0.25, 1, 2])
        shares = balance(counts, listed, low, 1e9)
        shuffled = list(counts.items())
        rng.shuffle(shuffled)
        assert balance(dict(shuffled), listed, low, 1e9) == shares
        if not shares:
            assert not any(counts.values())
            continue
        assert sum(share.probability for share in shares) == pytest.approx(1)
        assert min(share.multiply for share in shares) == pytest.approx(low)
        rarest = min(shares, key=lambda share: share.probability / share.images)
        assert rarest.multiply == pytest.approx(low)
        total = sum(share.multiply * share.images for share in shares)
        for share in shares:  # what multiplies are for: the share of an epoch is the probability
            assert share.multiply * share.images / total == pytest.approx(share.probability)


def recursive(counts: dict[str, int], listed: list[ConceptWeight]) -> dict[str, float]:
    """The rule as it is told: split at each folder, depth first."""

    def weight(path: str) -> float:
        name = path.rsplit("/", 1)[-1]
        exact = [entry.weight for entry in listed if entry.pattern == name]
        first = [entry.weight for entry in listed if fnmatchcase(path, entry.pattern)]
        return (exact + first + [1.0])[0]

    def split(path: str, chance: float) -> None:
        inside = [concept for concept in counts if counts[concept] and (not path or concept.startswith(f"{path}/"))]
        depth = path.count("/") + 2 if path else 1
        below = sorted({"/".join(concept.split("/")[:depth]) for concept in inside})
        own = [weight(path)] if counts.get(path) else []
        total = sum(map(weight, below)) + sum(own)
        if own:
            found[path] = chance * own[0] / total
        for child in below:
            split(child, chance * weight(child) / total)

    found: dict[str, float] = {}
    split("", 1.0)
    return found


def test_any_set_is_shared_as_the_rule_told_depth_first_shares_it():
    rng = random.Random(8)
    for _ in range(100):
        counts, listed = random_set(rng)
        got = {share.concept: share.probability for share in balance(counts, listed, 1, 100)}
        assert got == pytest.approx(recursive(counts, listed))


def test_ten_thousand_concepts_and_a_path_a_thousand_folders_deep_are_no_trouble():
    wide = {f"{i % 7}_characters/name{i}": i % 50 + 1 for i in range(10_000)}
    shares = balance(wide, FIFTEEN_WEIGHTS, 1, 100)
    assert len(shares) == 10_000
    assert sum(share.probability for share in shares) == pytest.approx(1)
    deep = "/".join(["a"] * 1000)
    assert balance({deep: 1, "a": 1}, [], 1, 100)[1].probability == pytest.approx(0.5)
