from __future__ import annotations

import pyarrow as pa
import pytest

from dataset_pipeline.base.tag_words import words
from dataset_pipeline.settings.query import QueryError, Subject
from dataset_pipeline.training.query_strata import queries_met
from dataset_pipeline.training.score_cut import Cut, Limits, select_by_score


def seen(**scores: float) -> Subject:
    known = {words(tag): score for tag, score in scores.items()}
    return Subject(known, [tag for tag, score in known.items() if score >= 0.35], [])


SUBJECTS = {
    "s.e/1": seen(night=0.9),
    "s.e/2": seen(night=0.2, rain=0.8),
    "s.e/3": seen(),
    "s.e/4": seen(night=0.5, rain=0.6),
}
QUERIES = {"dark": "night or dark", "wet": "rain and not indoors"}


def test_an_image_is_in_the_stratum_of_each_query_that_it_meets():
    assert queries_met(SUBJECTS, QUERIES) == {
        "s.e/1": ["dark"],
        "s.e/2": ["wet"],
        "s.e/3": [],
        "s.e/4": ["dark", "wet"],
    }
    assert queries_met({}, QUERIES) == {}


def test_what_a_query_names_keeps_its_floor_under_a_cut():
    met = queries_met(SUBJECTS, QUERIES)
    rows = pa.table(
        {
            "image_id": list(SUBJECTS),
            "still_id": list(SUBJECTS),
            "quality": [0.1, 0.2, 0.9, 0.3],
            "queries": list(met.values()),
        }
    )
    best = Cut("keep_best", "count", 2)
    for limits, expected in (
        (Limits(), {"s.e/3", "s.e/4"}),
        (Limits(("queries",), floor=2), {f"s.e/{it}" for it in range(1, 5)}),
    ):
        found = select_by_score(rows, best, limits)
        assert set(found.filter(found["selected"])["image_id"].to_pylist()) == expected


def test_a_query_that_cannot_be_understood_is_told():
    with pytest.raises(QueryError):
        queries_met(SUBJECTS, {"dark": "night or"})
