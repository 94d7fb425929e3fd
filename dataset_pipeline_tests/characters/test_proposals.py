"""What a person may decide next about names."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.characters.proposals import coverage_of, proposed_names
from dataset_pipeline.characters.references import NOBODY, Named
from dataset_pipeline_tests.characters.test_references import ANN, BEN, differences, references


def scored(**tags: float) -> list[dict]:
    return [{"tag": tag, "category": "character", "score": score} for tag, score in tags.items()]


def test_a_character_is_called_what_the_tagger_calls_most_of_its_crops():
    general = [{"tag": "red_hair", "category": "general", "score": 1.0}]
    shown = [("c-1", scored(fern=0.9, stark=0.2)), ("c-1", scored(fern=0.86)), ("c-1", general), ("c-2", general)]
    shown += [("c-3", scored(himmel_the_hero=0.99)), ("c-3", scored(fern=0.84)), ("c-3", [])]
    assert proposed_names(shown, 0.85) == {"c-1": ("fern", pytest.approx(2 / 3))}
    assert proposed_names(shown[4:6], 0.85) == {"c-3": ("himmel the hero", 0.5)}


def test_of_each_name_the_doubtful_and_what_is_new_to_its_references_are_told():
    places = np.array([0.0, 0.08, 0.12, 0.13, -0.1, 1.0])
    vectors = np.stack([places, np.zeros(6)], axis=1)
    shown = references((ANN, 0.0), (BEN, 1.0))
    named = Named(
        np.array([ANN, ANN, ANN, ANN, ANN, NOBODY]),
        np.zeros(6, np.int64),
        np.abs(places) / 2,
        np.array([0.4, 0.3, 0.2, 0.01, 0.3, 0.0]),
    )
    found = coverage_of(
        named,
        differences(vectors, shown.vectors),
        lambda numbers: differences(vectors[numbers]),
        shown,
        limit=0.1,
        min_margin=0.01,
        doubtful=2,
    )
    assert [it.name for it in found] == ["Ann", "Ben"]
    assert found[0].appearances == (0, 1, 2, 3, 4)
    assert found[0].doubtful == (3, 2)
    # 3 is not certain, 1 is as far from 2 as 0.02, and 0 is there already.
    assert found[0].proposed == (2, 4)
    assert found[1].appearances == found[1].doubtful == found[1].proposed == ()
