"""Who is who on drawn seasons without any reference: the figures, as the median over five casts that no net was trained
on. `pytest -m thorough -s` prints the table."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

import pytest

from dataset_pipeline.models import Identity
from dataset_pipeline_tests.characters.seasons import (
    CASTS,
    by_bodies_alone,
    characters_of,
    clusters_of,
    easy_season,
    harder_season,
    one_id_over_episodes,
    outfits_apart,
    rand_index,
)

WAYS = {
    "appearances, average linkage, votes": clusters_of,
    "bodies alone": by_bodies_alone,
    "appearances, OPTICS": lambda season, identity: clusters_of(season, identity, "optics"),
    "appearances, HDBSCAN": lambda season, identity: clusters_of(season, identity, "hdbscan"),
}
OURS, BEFORE = list(WAYS)[:2]
Figures = dict[str, dict[str, list[float]]]  # by way and figure, one value for each cast


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity(pack="demo", device="cpu", batch_size=32)


def printed(title: str, figures: Figures) -> None:
    print(f"\n{title}, median over {len(CASTS)} casts")
    for way, values in figures.items():
        print(f"  {way:38}", "  ".join(f"{name} {median(found):.3f}" for name, found in values.items()))


@pytest.fixture(scope="module")
def easy(identity: Identity) -> Figures:
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for number in CASTS:
        season = easy_season(number, identity)
        for way, decide in WAYS.items():
            given = characters_of(decide(season, identity))
            figures[way]["ARI"].append(rand_index(season, given, season.people))
            figures[way]["one id"].append(one_id_over_episodes(season, given, season.people))
    printed("easy season", figures)
    return figures


@pytest.fixture(scope="module")
def harder(identity: Identity) -> Figures:
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for number in CASTS:
        season = harder_season(number, identity)
        assert season.harder is not None
        for way, decide in WAYS.items():
            rows = decide(season, identity)
            given, found = characters_of(rows), figures[way]
            found["ARI"].append(rand_index(season, given, season.people))
            found["distinct people"].append(rand_index(season, given, season.harder.distinct))
            for pair in season.harder.twins:
                found[f"twins by {pair.trait}"].append(rand_index(season, given, pair.names))
            found["outfits"].append(outfits_apart(season, rows))
            found["one id"].append(one_id_over_episodes(season, given, season.harder.distinct))
    printed("harder season", figures)
    return figures


@pytest.mark.thorough
def test_five_people_who_differ_in_all_are_told_apart(easy: Figures):
    """Measured 1.0, on each cast .975 or more: what is wrong are an arm at the edge, and half figures in the blur of a
    whip pan."""
    assert median(easy[OURS]["ARI"]) >= 0.99
    assert min(easy[OURS]["ARI"]) >= 0.96
    assert median(easy[OURS]["one id"]) == 1.0


@pytest.mark.thorough
def test_twelve_people_are_told_apart_better_than_by_bodies_alone(harder: Figures):
    """Measured: distinct people .984; all people .834, and .679 by bodies alone. Twins by hair style, accessory or eyes
    are one person to the demo net."""
    assert median(harder[OURS]["distinct people"]) >= 0.95
    assert median(harder[OURS]["ARI"]) >= median(harder[BEFORE]["ARI"]) + 0.05
    for way in list(WAYS)[2:]:
        assert median(harder[OURS]["distinct people"]) > median(harder[way]["distinct people"])
