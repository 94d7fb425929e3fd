"""Three references each on the harder season: who is named right, wrong, or not at all, beside another tool's rule."""

from __future__ import annotations

import pytest

from dataset_pipeline_tests.benchmarks.references import measured, season_of

CASTS = range(5)


def test_people_without_a_twin_are_named_right_and_few_are_named_wrong_on_two_episodes():
    """Over casts 0 and 1, of one picture a shot: wrong .069, distinct 1.0."""
    figures = measured([season_of(number, per_shot=1, episodes=2) for number in (0, 1)], tracks=False, seeds=1)
    print(figures)
    assert figures["ours"]["distinct"] >= 0.9
    assert figures["ours"]["wrong"] <= 0.1


@pytest.mark.thorough
def test_three_references_each_name_people_by_one_setting_with_half_the_mistakes_of_the_rule_of_neme():
    seasons = [season_of(number) for number in CASTS]
    for tracks in (False, True):
        figures = measured(seasons, tracks)
        print("along tracks" if tracks else "still by still", figures)
        ours, neme = figures["ours"], figures["neme"]
        assert ours["distinct"] >= 0.95
        assert ours["wrong"] <= max(neme["wrong"] / 2, 0.02)
        assert ours["apart"] >= 0.70
        assert ours["mirror"] >= 0.9
