"""What the names of chapters say about a stretch of an episode: opening, ending, eyecatch, recap or preview."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dataset_pipeline.repeated.spans import OVERLAP, shared_s

_TITLES = (  # ordered: the first that fits counts
    (
        "opening",
        r"op\s*\d*|(nc)?op\d*|opening.*|intro(duction)?|avant ?title|オープニング.*|主題歌|片头.*|片頭.*|오프닝.*",
    ),
    ("ending", r"ed\s*\d*|(nc)?ed\d*|ending.*|outro|(end |closing )?credits.*|エンディング.*|片尾.*|엔딩.*"),
    ("eyecatch", r"eye ?-?catch.*|bumper.*|アイキャッチ.*"),
    ("recap", r"recap.*|previously.*|last time.*|あらすじ.*|前回.*|总集.*"),
    ("preview", r"(next )?(episode )?preview.*|next episode.*|next time.*|yokoku.*|予告.*|次回.*|预告.*|예고.*"),
)


@dataclass(frozen=True)
class Chapter:
    start_s: float
    end_s: float
    title: str

    @property
    def kind(self) -> str:
        """As `kind_of_title`."""
        return kind_of_title(self.title)


def kind_of_title(title: str) -> str:
    """opening, ending, eyecatch, recap, preview, or empty for a title that says none of them."""
    plain = re.sub(r"^[\W_\d]*(chapter\s*\d+\W*)?|[\W_]*$", "", title.strip().lower())
    return next((kind for kind, pattern in _TITLES if re.fullmatch(pattern, plain)), "")


def kind_by_chapters(chapters: Iterable[Chapter], start_s: float, end_s: float) -> str:
    """The kind of the first chapter that covers half of the span and that the span covers by half; empty if none."""
    for chapter in chapters:
        shared = shared_s((start_s, end_s), (chapter.start_s, chapter.end_s))
        if shared >= OVERLAP * max(end_s - start_s, chapter.end_s - chapter.start_s) and chapter.kind:
            return chapter.kind
    return ""
