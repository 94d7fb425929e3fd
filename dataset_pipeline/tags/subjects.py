"""Images as questions about their tags see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from dataset_pipeline.settings.query import Subject
from dataset_pipeline.tags.filter import as_written, reached, subject_of
from dataset_pipeline.tags.scores import tag_rows


def subjects(
    scored: pa.Table,
    written: Mapping[str, Sequence[str]],
    characters: Mapping[str, Sequence[str]],
    quality: Mapping[str, float | None],
    names: Mapping[str, str],
    limits: Mapping[str, float],
) -> Iterator[tuple[str, Subject]]:
    """Each image of `tag_scores` with what is known of it, sorted by id.

    written: what a person wrote, which goes before a tagger. characters: ids, which count as names too. names: of the
    characters, by id. limits: [tag_thresholds].
    """
    for row in sorted(tag_rows(scored), key=lambda row: row["image_id"]):
        image_id, tags = row["image_id"], row["tags"]
        used, rating, _ = reached(tags, limits)
        if image_id in written:
            tags, used = as_written(written[image_id], limits)
        shown = characters.get(image_id, ())
        who = [*shown, *(names.get(it, it) for it in shown)]
        yield image_id, subject_of(tags, used, who, quality.get(image_id), rating)
