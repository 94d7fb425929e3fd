"""Which tag queries an image meets: a column of strata that a person names by questions, such as `night or dark`."""

from __future__ import annotations

from collections.abc import Mapping

from dataset_pipeline.settings.query import Subject, parse


def queries_met(subjects: Mapping[str, Subject], queries: Mapping[str, str]) -> dict[str, list[str]]:
    """By image the names of the queries that it meets, in the order of the queries; none is an empty list.

    subjects: what is known of each image, by id. queries: questions by the name of their stratum. Raises QueryError.
    """
    questions = {name: parse(text) for name, text in queries.items()}
    return {
        image_id: [name for name, question in questions.items() if question(subject)]
        for image_id, subject in subjects.items()
    }
