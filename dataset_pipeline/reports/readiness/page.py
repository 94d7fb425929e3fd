"""The readiness report as one HTML file, from `templates/page.html.jinja`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from dataset_pipeline.corrections.answers import CHOSEN, KEPT
from dataset_pipeline.reports.readiness.faults import CHUNK_TOKENS
from dataset_pipeline.reports.readiness.figures import ENLARGED
from dataset_pipeline.reports.templates import templates_in

TEMPLATES = Path(__file__).with_name("templates")
MOST_BARS = 24  # of a chart; what follows is counted
MOST_BUCKETS = 12
HISTOGRAM_PX, TOP_PX, FOOT_PX = 150, 18, 20  # whole height, and of it for counts above and edges below the bars
LEAST_BAR_PERCENT, LEAST_COLUMN_PX = 0.4, 2.0  # so that one of thousands is still seen
REACHED = {"kept", KEPT, CHOSEN, "selected", "in the set"}  # outcomes that lead further


@dataclass(frozen=True)
class Bar:
    """A row of a chart. remark: small, below the name. value: written at the end. kind: class of the bar."""

    name: str
    remark: str
    length: float
    value: str
    kind: str = ""
    width_percent: float = 0.0


@dataclass(frozen=True)
class Chart:
    """The first bars, and how many more there are."""

    bars: Sequence[Bar]
    more: int


@dataclass(frozen=True)
class Column:
    """A bin of a histogram. Sides in percent of the width and pixels of the height; edge: its lower one, None of the
    first bin. over: whether the bin is in the colour of a warning."""

    count: int
    span: str
    over: bool
    left_percent: float
    middle_percent: float
    width_percent: float
    top_px: float
    height_px: float
    edge: float | None
    edge_percent: float


@dataclass(frozen=True)
class Histogram:
    """Columns with their counts above and their edges below."""

    count: int
    median: float | None
    largest: float | None
    columns: Sequence[Column]
    height_px: int = HISTOGRAM_PX
    floor_px: int = HISTOGRAM_PX - FOOT_PX


@cache
def environment() -> Environment:
    return templates_in(
        TEMPLATES,
        {"figure": figure, "percent": percent, "counted": counted, "prose": prose, "breakable": breakable},
    )


def page(found: Mapping[str, Any]) -> str:
    """The page of what `readiness` found: the worst fault before anything else, then the figures."""
    captions, enlargement = found["captions"], found["enlargement"]
    return environment().get_template("page.html.jinja").render(
        shows=", ".join(found["set"]["shows"]) or "an empty set",
        set=found["set"],
        faults=found["faults"],
        sides=sorted({use["resolution"] for use in found["buckets"]}),
        rules=_rules(found["buckets"], found["set"]["resolution"]),
        enlarged_at=enlargement["resolution"],
        enlargement=histogram(enlargement, ENLARGED),
        concepts=_concepts(found["concepts"]),
        characters=_characters(found["characters"]),
        tags=chart(
            Bar(row["tag"].replace("_", " "), "", row["images"], percent(row["share"])) for row in found["tags"]
        ),
        words=histogram(captions["words"]),
        tokens=histogram(captions["tokens"], CHUNK_TOKENS) if captions["tokens"] else None,
        chunk_tokens=CHUNK_TOKENS,
        splits=found["splits"],
        held_out=_held_out(found["splits"]),
        faces=histogram(found["faces"]),
        text=found["text"],
        classes=_classes(found["regularization"]),
        stages=_stages(found["left_out"]),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ charts


def chart(rows: Iterable[Bar], most: int = MOST_BARS) -> Chart:
    """Bars as long as their share of the longest."""
    rows = list(rows)
    longest = max((row.length for row in rows), default=0) or 1

    def width_percent(length: float) -> float:
        return max(100 * length / longest, LEAST_BAR_PERCENT if length else 0.0)

    shown = [
        Bar(row.name, row.remark, row.length, row.value, row.kind, width_percent(row.length)) for row in rows[:most]
    ]
    return Chart(shown, max(0, len(rows) - most))


def histogram(summary: Mapping[str, Any], over: float | None = None) -> Histogram:
    """Of a summary with its bins; those from the edge `over` on are in the colour of a warning."""
    bins = summary["bins"]
    step_percent, most = 100 / len(bins), max(entry["count"] for entry in bins)
    floor_px = HISTOGRAM_PX - FOOT_PX
    columns = []
    for place, entry in enumerate(bins):
        count, low = entry["count"], entry["above"]
        height_px = max(LEAST_COLUMN_PX, (floor_px - TOP_PX) * count / most) if count else 0.0
        columns.append(
            Column(
                count=count,
                span=_span(entry),
                over=over is not None and low is not None and low >= over,
                left_percent=step_percent * (place + 0.06),
                middle_percent=step_percent * (place + 0.5),
                width_percent=step_percent * 0.88,
                top_px=floor_px - height_px,
                height_px=height_px,
                edge=low,
                edge_percent=step_percent * place,
            )
        )
    return Histogram(summary["count"], summary["median"], summary["largest"], columns)


def _span(entry: Mapping[str, Any]) -> str:
    if entry["above"] is None:
        return f"up to {figure(entry['up_to'])}"
    if entry["up_to"] is None:
        return f"above {figure(entry['above'])}"
    return f"above {figure(entry['above'])} and up to {figure(entry['up_to'])}"


def _rules(uses: Sequence[Mapping[str, Any]], resolution: int) -> list[dict[str, Any]]:
    """A row for each trainer: its use of buckets at each side, None where it has none, and the chart of its buckets at
    the set's resolution."""
    sides = sorted({use["resolution"] for use in uses})
    at = {(use["title"], use["resolution"]): use for use in uses}
    rows = []
    for title in dict.fromkeys(use["title"] for use in uses):
        chosen = at.get((title, resolution))
        buckets = [] if chosen is None else chosen["buckets"]
        bars = (Bar(f"{wide} × {high}", "", count, figure(count)) for wide, high, count in buckets)
        rows.append(
            {
                "title": title,
                "uses": [at.get((title, side)) for side in sides],
                "n_buckets": len(buckets),
                "buckets": None if chosen is None else chart(bars, MOST_BUCKETS),
            }
        )
    return rows


def _concepts(rows: Iterable[Mapping[str, Any]]) -> Chart:
    return chart(
        Bar(
            row["concept"],
            f"{counted(row['images'], 'image', 'images')} × {row['multiply']:.2f}",
            row["epoch_share"],
            percent(row["epoch_share"]),
        )
        for row in rows
    )


def _classes(rows: Iterable[Mapping[str, Any]]) -> Chart:
    return chart(
        Bar(
            row["class"],
            f"{figure(row['used'])} of {counted(row['pictures'], 'picture', 'pictures')}, "
            f"{figure(row['in_an_epoch'])} in an epoch",
            row["share"],
            percent(row["share"]),
        )
        for row in rows
    )


def _characters(rows: Iterable[Mapping[str, Any]]) -> Chart:
    return chart(
        Bar(
            row["character"],
            ", ".join(f"{count} {kind}" for kind, count in row["kinds"].items()),
            row["images"],
            figure(row["images"]),
        )
        for row in rows
    )


def _held_out(splits: Mapping[str, Any]) -> Chart:
    counts = {
        "for training": splits["train"],
        "held out": splits["validation"],
        **{f"held out, but known: {why}": count for why, count in sorted(splits["leaked"].items())},
    }
    return chart(Bar(name, "", count, figure(count)) for name, count in counts.items())


def _stages(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each stage in turn a chart of what became of its images; what leads no further is pale."""
    return [
        {
            "name": stage,
            "chart": chart(
                Bar(
                    row["reason"].replace("_", " "),
                    row["meaning"],
                    row["images"],
                    figure(row["images"]),
                    "" if row["reason"] in REACHED else "pale",
                )
                for row in group
            ),
        }
        for stage, group in groupby(rows, key=lambda row: row["stage"])
    ]


# ------------------------------------------------------------------------------------------------ words


def figure(value: float) -> str:
    """`12 345` or `0.97`."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.2f}".rstrip("0")


def percent(share: float) -> str:
    """One digit after the point below ten percent."""
    of_hundred = 100 * share
    return f"{of_hundred:.0f} %" if of_hundred >= 9.95 or of_hundred == 0 else f"{of_hundred:.1f} %"


def counted(count: int, one: str, many: str) -> str:
    return f"{figure(count)} {one if count == 1 else many}"


def prose(text: str) -> Markup:
    """A sentence in which commands stand between backticks."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def breakable(name: str) -> Markup:
    """A name that may be broken after its underscores."""
    return Markup("_<wbr>").join(name.split("_"))
