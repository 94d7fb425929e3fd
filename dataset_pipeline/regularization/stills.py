"""Stills on which nobody is: pictures of a show's style, without its characters."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.boxes import area, box_of
from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.file_names import slug
from dataset_pipeline.base.ids import PLATE_WITH_SUBJECT, episode_of, kind_of_span, show_of, shows_nobody, still_of
from dataset_pipeline.base.tag_words import is_people_count, words
from dataset_pipeline.regularization.requests import Rows, request, seed_of, with_ids
from dataset_pipeline.settings import RegularizationClass
from dataset_pipeline.tags.captions import is_of_text

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

SOMEBODY, NOT_LOOKED_AT, TEXT, BARS = "somebody", "not_looked_at", "text", "bars"
PIECES_OF_PEOPLE = ("person", "halfbody", "head", "face", "hand", "eye")  # kinds of boxes
BAR_TAGS = frozenset({("letterboxed",), ("pillarboxed",), ("windowboxed",)})


def unfit_stills(
    detections: pa.Table,
    clusters: pa.Table,
    tags: pa.Table,
    burnt_in_text: pa.Table,
    min_score: float,
    not_looked_at: Collection[str] = (),
    areas_px: Mapping[str, int] = {},
    max_text_share: float = 1.0,
) -> dict[str, str]:
    """Why stills of an episode are none on which nobody is, by id: somebody, text, bars, not_looked_at.

    The first four are tables of these names. Somebody is where a box of a person or of a piece of one reaches
    min_score, where somebody is known on the still or a crop of it, or where its tags or boxes count people; never on
    a clean plate. not_looked_at: stills without an answer of the detector; of these only plates show nobody for sure.
    Text is what was laid over a still, and lettering of the drawing, such as a title, that covers more than
    max_text_share of it. areas_px: of stills.
    """
    of_people = pc.is_in(detections["kind"], pa.array(PIECES_OF_PEOPLE))
    sure = detections.filter(pc.and_(of_people, pc.greater_equal(detections["score"], min_score)))
    known = clusters.filter(pc.greater(pc.list_value_length(clusters["characters"]), 0))
    somebody = {still_of(it) for table in (sure, known) for it in pc.unique(table["image_id"]).to_pylist()}
    reasons: dict[str, str] = {}
    said = zip(*(tags[name].to_pylist() for name in ("image_id", "tags", "n_people")), strict=True)
    for image_id, of_image, n_people in said:
        still = still_of(image_id)
        if n_people or any(map(is_people_count, of_image or ())):
            somebody.add(still)
        if still == image_id and any(map(is_of_text, of_image or ())):
            reasons[still] = TEXT
        elif still == image_id and any(words(tag) in BAR_TAGS for tag in of_image or ()):
            reasons[still] = BARS
    laid_over = burnt_in_text.filter(burnt_in_text["burnt_in"])
    reasons |= {still_of(it): TEXT for it in pc.unique(laid_over["image_id"]).to_pylist()}
    lettered: dict[str, float] = defaultdict(float)
    for row in burnt_in_text.to_pylist():
        lettered[row["image_id"]] += area(box_of(row))
    reasons |= {it: TEXT for it, px in lettered.items() if it in areas_px and px > max_text_share * areas_px[it]}
    reasons |= {it: NOT_LOOKED_AT for it in not_looked_at if not shows_nobody(it)}
    return reasons | {it: SOMEBODY for it in somebody if not shows_nobody(it)}


def of_nobody(
    stills: Iterable[Mapping[str, Any]],
    unfit: Mapping[str, str],
    shots: Iterable[Mapping[str, Any]],
    a_class: RegularizationClass,
    number: int,
    seed: int,
) -> Rows:
    """Rows of `regularization_requests` for at most `number` stills on which nobody is, as many of each show as of the
    others, of each episode in it, and of each shot in that, as far as there are so many; which of them by the seed.

    stills: rows of that table, of all episodes. unfit: of those that are not taken, why, as `unfit_stills` says. shots:
    rows of that table; a still outside of all, as a picture of a folder, counts as a shot by itself. `mirrors` is the
    still. Raises PermanentError where there is none, and says what speaks against those there are.
    """
    shows = {slug(it) for it in a_class.shows}
    there = [row for row in stills if not shows or show_of(row["image_id"]) in shows]
    fit = [row for row in there if row["image_id"] not in unfit and not _shows_its_subject(row["image_id"])]
    if not fit:
        raise PermanentError(_none_left(a_class, there, unfit))
    shot_of = _Shots(shots)
    order = evenly(fit, (_show, _episode, shot_of, lambda row: row["image_id"]), seed)
    rows = [
        request(
            a_class,
            mirrors=row["image_id"],
            path=row["path"],
            width_px=row["width_px"],
            height_px=row["height_px"],
            # What a detector takes for somebody on a clean plate is none.
            people=None if shows_nobody(row["image_id"]) else 0,
        )
        for row in itertools.islice(order, number)
    ]
    return with_ids(a_class.name, (([row["mirrors"]], row) for row in rows))


def evenly(rows: Sequence[Mapping[str, Any]], levels: Sequence[Any], seed: int) -> Iterable[Mapping[str, Any]]:
    """All rows, so ordered that of any number of the first ones each group has as many as the others, as far as it
    goes: one of each group of the first level in turn, and so within it. levels: functions from a row to its group.
    The order of groups is by the seed and their names; rows of one last group come as they are."""
    if not levels:
        return rows
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(levels[0](row)), []).append(row)
    order = sorted(groups, key=lambda name: (seed_of(seed, name), name))
    inner = [evenly(groups[name], levels[1:], seed) for name in order]
    turns = itertools.zip_longest(*inner)
    return (row for turn in turns for row in turn if row is not None)


def _shows_its_subject(image_id: str) -> bool:
    return kind_of_span(image_id) == PLATE_WITH_SUBJECT


def _show(row: Mapping[str, Any]) -> str:
    return show_of(row["image_id"])


def _episode(row: Mapping[str, Any]) -> str:
    return episode_of(row["image_id"])


class _Shots:
    """Which shot a still is from, by when it begins."""

    def __init__(self, shots: Iterable[Mapping[str, Any]]) -> None:
        starts: dict[str, list[float]] = {}
        for row in shots:
            starts.setdefault(row["episode"], []).append(row["start_s"])
        self._starts = {episode: sorted(of_it) for episode, of_it in starts.items()}

    def __call__(self, row: Mapping[str, Any]) -> str:
        starts = self._starts.get(episode_of(row["image_id"]), [])
        at = 0 if row["start_s"] is None else bisect_right(starts, row["start_s"])
        return f"{episode_of(row['image_id'])} {at}" if at else row["image_id"]


def _none_left(a_class: RegularizationClass, there: Sequence[Mapping[str, Any]], unfit: Mapping[str, str]) -> str:
    told = f"the class {a_class.name!r} takes stills on which nobody is"
    if not there:
        shows = f" of {', '.join(a_class.shows)}" if a_class.shows else ""
        return f"{told}, and there are no stills{shows}: run the pipeline first, or name other shows"
    reasons = [unfit.get(row["image_id"], SOMEBODY) for row in there]
    counts = ", ".join(f"{reason} {reasons.count(reason)}" for reason in sorted(set(reasons)))
    return (
        f"{told}, and none of {len(there)} stills is one ({counts}): take another source, or turn on [backdrops], "
        "which draws places without their people"
    )
