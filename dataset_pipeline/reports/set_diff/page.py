"""A comparison of two sets as one HTML file, from `templates/diff.html.jinja`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from dataset_pipeline.images.thumbnails import thumbnail
from dataset_pipeline.reports.set_diff.text import headline, title
from dataset_pipeline.reports.templates import templates_in
from dataset_pipeline.training.set_diff.diff import CAME, CAPTION, KINDS, LEFT, Difference, SetDiff

TEMPLATES = Path(__file__).with_name("templates")
THUMB_PX = 150
MOST_THUMBNAILS = 240  # of the whole page, some 6 kB each
MOST_OF_GROUP = 24  # of the images that share a reason; more are counted
MOST_GROUPS = 40  # of a kind
MOST_CONCEPTS = 200
LONGEST_CAPTION = 600

Pictures = Callable[[str, bool], bytes]  # by image id, of the newer set or of the older


@dataclass(frozen=True)
class Shown:
    """An image as the page shows it. thumbnails: base64 of JPEGs, empty for a picture that is not to be had; of an
    image whose picture changed that of before and of after."""

    image_id: str
    detail: str
    before: str
    after: str
    thumbnails: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """The images that share a reason: the first, and how many more there are."""

    reason: str
    count: int
    images: Sequence[Shown]
    more: int


@cache
def environment() -> Environment:
    filters = {"percent": lambda share: f"{100 * share:.1f} %", "number": lambda value: f"{value:.4g}"}
    return templates_in(TEMPLATES, filters)


def page(found: SetDiff, pictures: Pictures) -> str:
    """The page of a comparison. pictures: encoded bytes; raises OSError or ValueError where there are none. They are
    read one at a time, and at most MOST_THUMBNAILS are shown."""
    thumbs = _Thumbnails(pictures)
    concepts = found.concepts[:MOST_CONCEPTS]
    return environment().get_template("diff.html.jinja").render(
        found=found,
        headline=headline(found),
        sections=[section for kind in KINDS if (section := _section(found, kind, thumbs))],
        concepts=concepts,
        more_concepts=len(found.concepts) - len(concepts),
        widest=max((max(it.before.epoch_share, it.after.epoch_share) for it in concepts), default=0.0) or 1.0,
        not_shown=thumbs.not_shown,
        thumb_px=THUMB_PX,
    )  # fmt: skip


def _section(found: SetDiff, kind: str, thumbs: _Thumbnails) -> dict[str, Any] | None:
    differences, groups = found.of(kind), found.by_reason(kind)
    if not differences:
        return None
    return {
        "kind": kind,
        "title": title(kind, len(differences)),
        "groups": [_group(reason, members, thumbs) for reason, members in groups[:MOST_GROUPS]],
        "more_reasons": len(groups[MOST_GROUPS:]),
        "more_images": sum(len(members) for _, members in groups[MOST_GROUPS:]),
    }


def _group(reason: str, members: Sequence[Difference], thumbs: _Thumbnails) -> Group:
    shown = [
        Shown(it.image_id, it.reason.detail, _cut(it.before), _cut(it.after), tuple(thumbs.of(it)))
        for it in members[:MOST_OF_GROUP]
    ]
    return Group(reason, len(members), shown, len(members) - len(shown))


class _Thumbnails:
    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._left = MOST_THUMBNAILS
        self.not_shown = 0

    def of(self, it: Difference) -> Iterator[str]:
        sides = {CAME: [True], LEFT: [False], CAPTION: [True]}.get(it.kind)
        for is_new in sides or ([True] if it.kind in ("concept", "split") else [False, True]):
            if not self._left:
                self.not_shown += 1
                continue
            try:
                yield base64.b64encode(thumbnail(self._pictures(it.image_id, is_new), THUMB_PX)).decode()
                self._left -= 1
            except (OSError, ValueError):  # cleaned, or not copied along; the page says that there is none
                yield ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_CAPTION else f"{text[: LONGEST_CAPTION - 2]} …"
