"""The readiness report as one HTML file that needs nothing else: no script, no font, no picture from elsewhere.

Shapes are SVG in percent of their width and words are HTML, so that a phone shows both at a readable size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

MOST_BARS = 24  # of a chart; what follows is counted
MOST_BUCKETS = 12
HISTOGRAM_PX, TOP_PX, FOOT_PX = 150, 18, 20  # whole height, and of it for counts above and edges below the bars
REACHED = {"kept", "selected", "in the set"}  # outcomes that lead further
CALM = "Nothing speaks against training on this set."

STYLE = """
:root { color-scheme: light dark; --paper: #faf9f6; --card: #ffffff; --ink: #23303a; --soft: #66737d; --line: #e6e3dc;
  --bar: #5b8fa3; --pale: #d5dee2; --serious: #b3413a; --warning: #b07a1e; --note: #5e7490; --fine: #4b8164; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --card: #1b2125; --ink: #dfe5e8; --soft: #93a0a9;
  --line: #2b3338; --bar: #6fa6ba; --pale: #344149; --serious: #e07a70; --warning: #d9a548; --note: #8ea7c6;
  --fine: #7db894; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
h1, h2 { font-family: "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, serif; font-weight: 500;
  line-height: 1.25; margin: 0; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.6rem, 4.6vw, 2.35rem); }
h2 { font-size: 1.4rem; margin-bottom: .35rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.75rem 0 .35rem; }
p { margin: .35rem 0; max-width: 46rem; }
section { margin-top: 3.25rem; }
.soft, figcaption, small { color: var(--soft); }
.verdict { margin-top: 0; padding-left: 1.25rem; border-left: 4px solid var(--tone); }
.serious { --tone: var(--serious); } .warning { --tone: var(--warning); }
.note { --tone: var(--note); } .fine { --tone: var(--fine); }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.verdict .level { margin-top: .7rem; }
.level { color: var(--tone); font-size: .8rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase; }
.fault { padding: .9rem 0 .9rem 1.25rem; border-left: 4px solid var(--tone); margin-top: 1rem; }
.fault strong { font-weight: 600; overflow-wrap: anywhere; }
.examples { font: .82rem/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--soft);
  overflow-wrap: anywhere; margin: .35rem 0 0; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: 1.25rem 1rem;
  margin: 2.5rem 0 0; padding: 1.25rem 0; border: solid var(--line); border-width: 1px 0; }
.facts div { display: flex; flex-direction: column-reverse; }
.facts dd { margin: 0; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.facts dt { color: var(--soft); font-size: .85rem; }
.bars { display: grid; grid-template-columns: minmax(6rem, 16rem) 1fr auto; gap: .3rem 1rem; align-items: center;
  margin: .9rem 0 0; padding: 0; list-style: none; }
.bars li { display: contents; }
.bars .name { overflow-wrap: anywhere; line-height: 1.3; }
.bars .name small { display: block; }
.bars .value { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bars svg { display: block; width: 100%; height: 14px; }
figure { margin: 1rem 0 0; } figure svg { display: block; width: 100%; overflow: visible; }
figcaption { font-size: .85rem; margin-top: .15rem; }
rect { fill: var(--bar); } rect.pale { fill: var(--pale); } rect.over { fill: var(--warning); }
line { stroke: var(--line); } text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.wide { overflow-x: auto; margin-top: .9rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .55rem .9rem .55rem 0; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; } tbody th { font-weight: 400; min-width: 11rem; }
td { min-width: 8.2rem; line-height: 1.35; } td small { display: block; } td.over { color: var(--warning); }
.chosen { font-weight: 600; color: var(--ink); }
details { margin-top: .6rem; } summary { cursor: pointer; }
@media (max-width: 36rem) { main { padding-top: 1.5rem; } section { margin-top: 2.5rem; }
  .bars { grid-template-columns: 1fr auto; gap: .1rem .75rem; }
  .bars .name { grid-column: 1 / -1; margin-top: .45rem; }
  table { font-size: .8rem; } th, td { padding-right: .3rem; } tbody th { min-width: 4.8rem; }
  td { min-width: 0; } td small { font-size: .66rem; white-space: nowrap; } }
"""


def page(found: Mapping[str, Any]) -> str:
    """The page of what `readiness` found: the worst fault before anything else, then the figures."""
    faults, facts = found["faults"], found["set"]
    shows = ", ".join(facts["shows"]) or "an empty set"
    body = [
        _verdict(faults),
        _facts(shows, facts),
        _faults(faults[1:]),
        _buckets(found["buckets"], found["enlargement"], facts["resolution"]),
        _concepts(found["concepts"]),
        _characters(found["characters"]),
        _tags(found["tags"]),
        _captions(found["captions"]),
        _splits(found["splits"]),
        _faces(found["faces"]),
        _left_out(found["left_out"]),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Readiness of {escape(shows)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, body))
        + "\n</main>\n</body>\n</html>\n"
    )


# ------------------------------------------------------------------------------------------------ sections


def _verdict(faults: Sequence[Mapping[str, Any]]) -> str:
    if not faults:
        return f'<section id="verdict" class="verdict fine"><h1>{CALM}</h1></section>'
    worst = faults[0]
    return (
        f'<section id="verdict" class="verdict {escape(worst["severity"])}"><h1>{escape(worst["message"])}</h1>\n'
        f'<p class="level">{escape(worst["severity"])}</p>\n<p>{_prose(worst["what_to_do"])}</p>\n'
        f"{_examples(worst)}</section>"
    )


def _faults(faults: Sequence[Mapping[str, Any]]) -> str:
    if not faults:
        return ""
    listed = (
        f'<div class="fault {escape(fault["severity"])}"><span class="level">{escape(fault["severity"])}</span><br>\n'
        f"<strong>{escape(fault['message'])}</strong>\n<p>{_prose(fault['what_to_do'])}</p>\n{_examples(fault)}</div>"
        for fault in faults
    )
    return _section("faults", "What else speaks against it", "", *listed)


def _examples(fault: Mapping[str, Any]) -> str:
    if not fault["examples"]:
        return ""
    return f'<p class="examples">{"<br>".join(escape(example) for example in fault["examples"])}</p>'


def _facts(shows: str, facts: Mapping[str, Any]) -> str:
    told = {
        "images": facts["images"],
        "of them stills": facts["stills"],
        "episodes": facts["episodes"],
        "concepts": facts["concepts"],
        "characters": facts["characters"],
        "images an epoch": facts["images_an_epoch"],
        "judged at": f"{facts['resolution']} px",
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{_told(value)}</dd></div>" for name, value in told.items())
    return f'<section id="set"><h2>{escape(shows)}</h2><dl class="facts">{cells}</dl></section>'


def _buckets(uses: Sequence[Mapping[str, Any]], enlargement: Mapping[str, Any], resolution: int) -> str:
    if not uses:
        return ""
    sides = sorted({use["resolution"] for use in uses})
    at = {(use["title"], use["resolution"]): use for use in uses}
    heads = "".join(f"<th{_chosen(side, resolution)}>at {side}</th>" for side in sides)
    titles = dict.fromkeys(use["title"] for use in uses)
    rows = "".join(
        f"<tr><th>{escape(title).replace('_', '_<wbr>')}</th>"
        f"{''.join(_use(at.get((title, side))) for side in sides)}</tr>"
        for title in titles
    )
    lists = (
        f"<details><summary>{escape(use['title'])}: {_number(len(use['buckets']), 'bucket', 'buckets')} at "
        f"{resolution}</summary>"
        + _bars([(f"{wide} × {high}", "", count, _told(count)) for wide, high, count in use["buckets"]], MOST_BUCKETS)
        + "</details>"
        for use in uses
        if use["resolution"] == resolution
    )
    return _section(
        "buckets",
        "How trainers cut and enlarge",
        "Each trainer sorts pictures into buckets of one size. Cut is the mean share of pixels that does not fit; "
        "enlarged are pictures scaled up by more than a quarter; × is the median scale of all.",
        f'<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>',
        _histogram(
            enlargement,
            f"times that a bucket at {enlargement['resolution']} enlarges a picture, where the trainer does so; "
            f"{_middle(enlargement)}",
            over=1.25,
        ),
        *lists,
    )


def _use(use: Mapping[str, Any] | None) -> str:
    if use is None:
        return "<td><small>no such buckets</small></td>"
    mark = ' class="over"' if use["enlarged_share"] > 0.5 else ""
    return (
        f"<td{mark}>{_percent(use['cropped_share'])} cut<small>{_percent(use['enlarged_share'])} enlarged</small>"
        f"<small>×{use['median_scale']:.2f}</small></td>"
    )


def _concepts(rows: Sequence[Mapping[str, Any]]) -> str:
    bars = [
        (
            row["concept"],
            f"{_number(row['images'], 'image', 'images')} × {row['multiply']:.2f}",
            row["epoch_share"],
            _percent(row["epoch_share"]),
        )
        for row in rows
    ]
    return _section("concepts", "Concepts", "Their share of an epoch: images times multiply.", _bars(bars))


def _characters(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return _section("characters", "Characters", "Nobody was recognised on any image.")
    bars = [
        (
            row["character"],
            ", ".join(f"{count} {kind}" for kind, count in row["kinds"].items()),
            row["images"],
            _told(row["images"]),
        )
        for row in rows
    ]
    return _section("characters", "Characters", "Images that show each, by kind.", _bars(bars))


def _tags(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return _section("tags", "Tags", "No image has a tag.")
    bars = [(row["tag"].replace("_", " "), "", row["images"], _percent(row["share"])) for row in rows]
    return _section("tags", "Tags", "The share of images whose caption may name each.", _bars(bars))


def _captions(captions: Mapping[str, Any]) -> str:
    words, tokens = captions["words"], captions["tokens"]
    parts = [_histogram(words, f"words in a caption; {_middle(words)}")]
    if tokens:
        parts.append(_histogram(tokens, f"CLIP tokens in a caption, 75 at a time; {_middle(tokens)}", over=75))
    return _section("captions", "Caption lengths", "", *parts)


def _splits(splits: Mapping[str, Any]) -> str:
    if not splits["validation"]:
        return _section("splits", "Held out", "Nothing is held out: every image is for training.")
    leaked = sum(splits["leaked"].values())
    bars = [
        ("for training", "", splits["train"], _told(splits["train"])),
        ("held out", "", splits["validation"], _told(splits["validation"])),
        *((f"held out, but known: {why}", "", count, _told(count)) for why, count in sorted(splits["leaked"].items())),
    ]
    lead = f"{leaked} of {splits['validation']} held-out images are known from training."
    return _section("splits", "Held out", lead if leaked else "No held-out image is known from training.", _bars(bars))


def _faces(faces: Mapping[str, Any]) -> str:
    if not faces["count"]:
        return _section("faces", "Faces", "No face was found on any image.")
    lead = f"{_number(faces['count'], 'face', 'faces')} in the pictures of the set."
    return _section("faces", "Faces", lead, _histogram(faces, f"shorter side of a face, px; {_middle(faces, 'px')}"))


def _left_out(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    parts = []
    for stage, group in groupby(rows, key=lambda row: row["stage"]):
        bars = [
            (
                row["reason"].replace("_", " "),
                row["meaning"],
                row["images"],
                _told(row["images"]),
                "" if row["reason"] in REACHED else "pale",
            )
            for row in group
        ]
        parts.append(f"<h3>{escape(stage)}</h3>{_bars(bars)}")
    return _section("left-out", "What was left out, and why", "Nothing is deleted: each keeps its row.", *parts)


# ------------------------------------------------------------------------------------------------ shapes


def _section(name: str, title: str, lead: str, *parts: str) -> str:
    told = f'<p class="soft">{escape(lead)}</p>' if lead else ""
    return "\n".join([f'<section id="{name}"><h2>{escape(title)}</h2>{told}', *filter(None, parts), "</section>"])


def _bars(rows: Sequence[tuple], most: int = MOST_BARS) -> str:
    """rows: (name, remark, length, what is written at the end, and maybe a class of the bar)."""
    longest = max((row[2] for row in rows), default=0) or 1
    items = "".join(_bar(*row, longest=longest) for row in rows[:most])
    more = f'<p class="soft">and {len(rows) - most} more</p>' if len(rows) > most else ""
    return f'<ul class="bars">{items}</ul>{more}'


def _bar(name: str, remark: str, length: float, value: str, kind: str = "", *, longest: float) -> str:
    width = max(100 * length / longest, 0.4 if length else 0.0)
    return (
        f'<li><span class="name">{escape(name)}{f"<small>{escape(remark)}</small>" if remark else ""}</span>'
        f'<svg aria-hidden="true"><rect class="{kind}" width="{width:.2f}%" height="100%" rx="2"/></svg>'
        f'<span class="value">{escape(value)}</span></li>'
    )


def _histogram(summary: Mapping[str, Any], caption: str, over: float | None = None) -> str:
    """Bars of the bins with their counts above and their edges below; those beyond `over` in the warning colour."""
    if not summary["count"]:
        return ""
    bins = summary["bins"]
    step, most = 100 / len(bins), max(entry["count"] for entry in bins)
    floor = HISTOGRAM_PX - FOOT_PX
    shapes = [f'<line x1="0" x2="100%" y1="{floor}" y2="{floor}"/>']
    for place, entry in enumerate(bins):
        count, low = entry["count"], entry["above"]
        if count:
            height = max(2.0, (floor - TOP_PX) * count / most)
            top, middle = floor - height, step * (place + 0.5)
            kind = ' class="over"' if over is not None and low is not None and low >= over else ""
            shapes.append(
                f'<rect{kind} x="{step * (place + 0.06):.2f}%" y="{top:.1f}" width="{step * 0.88:.2f}%" '
                f'height="{height:.1f}" rx="2"><title>{_span(entry)}: {_told(count)}</title></rect>'
                f'<text x="{middle:.2f}%" y="{top - 5:.1f}" text-anchor="middle">{_told(count)}</text>'
            )
        if low is not None:
            shapes.append(
                f'<text x="{step * place:.2f}%" y="{HISTOGRAM_PX - 5}" text-anchor="middle">{_told(low)}</text>'
            )
    return (
        f'<figure><svg height="{HISTOGRAM_PX}" role="img" aria-label="{escape(caption)}">{"".join(shapes)}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _span(entry: Mapping[str, Any]) -> str:
    if entry["above"] is None:
        return f"up to {_told(entry['up_to'])}"
    if entry["up_to"] is None:
        return f"above {_told(entry['above'])}"
    return f"above {_told(entry['above'])} and up to {_told(entry['up_to'])}"


def _middle(summary: Mapping[str, Any], unit: str = "") -> str:
    if not summary["count"]:
        return "there is none"
    unit = f" {unit}" if unit == "px" else unit
    return f"median {_told(summary['median'])}{unit}, largest {_told(summary['largest'])}{unit}"


def _prose(text: str) -> str:
    """A sentence in which commands stand between backticks."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _chosen(side: int, resolution: int) -> str:
    return ' class="chosen"' if side == resolution else ""


def _told(value: Any) -> str:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.2f}".rstrip("0")


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 9.95 or percent == 0 else f"{percent:.1f} %"


def _number(count: int, one: str, many: str) -> str:
    return f"{_told(count)} {one if count == 1 else many}"
