"""The first screen of `explain`: what an image shows, and each decision about it as its value against the limit.

Pure functions of what `explain.explain` gathered.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping

from dataset_pipeline.reports.decisions import images, sets, stills
from dataset_pipeline.reports.decisions.values import Row, name_of, plainly
from dataset_pipeline.reports.explain import LEFT_OUT, Decision, Explanation, SaidOf

COLUMNS = 100  # what a line may take
LINES_EACH = 2  # of a decision
NAME_COLUMNS = 17


def first_screen(explanation: Explanation) -> list[str]:
    """Lines of at most COLUMNS letters, but for the path of the source: the image, then each decision in the order of
    the work."""
    rows = {decision.asset: decision.row for decision in explanation.decisions}
    return [
        explanation.image_id,
        *_origin(explanation),
        *(line for text in _content(explanation, rows) for line in _wrapped(text, 6)),
        "",
        *(line for text in _decisions(explanation) for line in _wrapped(text, NAME_COLUMNS + 1)),
        "",
        "--all prints every row, with the settings, the models and the versions behind it.",
    ]


def _origin(explanation: Explanation) -> Iterable[str]:
    until = f" to {explanation.end_s:.3f}" if explanation.end_s is not None else ""
    where = f"second {explanation.second_s:.3f}{until} of " if explanation.second_s is not None else ""
    yield f"from {where}{explanation.source}"
    if explanation.box_px:
        x0, y0, x1, y1 = explanation.box_px
        within = (
            f" of its still's {explanation.still_px[0]} x {explanation.still_px[1]} px"
            if explanation.still_px
            else " px"
        )
        yield f"cut at x {x0}..{x1}, y {y0}..{y1}{within}"
    elif explanation.still_px:
        yield f"a still of {explanation.still_px[0]} x {explanation.still_px[1]} px"
    if explanation.made_with_demo_models:
        yield "made with the demo models"


def _content(explanation: Explanation, rows: Mapping[str, Row]) -> Iterable[str]:
    if who := (rows.get("clusters") or rows.get("selection") or {}).get("characters"):
        yield f"who: {', '.join(name_of(name, explanation.names) for name in who)}"
    elif "clusters" in rows:
        yield "who: nobody known"
    if tags := rows.get("tags", {}).get("tags"):
        yield f"tags: {', '.join(tags)}"
    if (score := rows.get("quality_scores", {}).get("score")) is not None:
        yield f"quality: {score:.3f}"

    for it in explanation.corrections:
        yield f"by hand: {_told(it, explanation)}"
    if clip := rows.get("clips"):
        for name in ("caption", "concept"):
            yield from [f"{name}: {clip[name]}"] if clip.get(name) else []
        yield from [f"told by: {', '.join(clip['stills'])}"] if clip.get("kept") and clip.get("stills") else []


def _told(said: SaidOf, explanation: Explanation) -> str:
    """`reject of its still, 2026-11-29 16:03 by the page (e-1234)`."""
    values = [
        ", ".join(map(str, value)) if isinstance(value, list) else name_of(str(value), explanation.names)
        for value in said.value.values()
    ]
    of = " of its still" if said.of != explanation.image_id else ""
    when = f"{said.said[:4]}-{said.said[4:6]}-{said.said[6:8]} {said.said[9:11]}:{said.said[11:13]}"
    return (
        f"{said.do}{of} {' '.join(values)}".rstrip() + f", {when}{f' by {said.by}' if said.by else ''} ({said.event})"
    )


def _decisions(explanation: Explanation) -> Iterable[str]:
    done = set()
    for decision in explanation.decisions:
        if decision.asset not in done:
            done.add(decision.asset)
            says = SAYS.get(decision.asset)
            if reason := decision.row.get(LEFT_OUT):
                text = f"left out: {reason}"
            else:
                text = says(decision, explanation) if says else plainly(decision.row)
            yield f"{decision.asset:<{NAME_COLUMNS}} {text}"


SAYS: dict[str, Callable[[Decision, Explanation], str]] = {
    "keyframes": stills.keyframes,
    "distinct_frames": stills.distinct_frames,
    "alignments": stills.alignments,
    "panoramas": stills.stitched,
    "backdrops": stills.stitched,
    "repeated_frames": stills.repeated_frames,
    "stills": stills.picture,
    "detections": images.detections,
    "crops": images.crops,
    "details": images.details,
    "images": stills.picture,
    "clusters": images.clusters,
    "quality_scores": images.quality_scores,
    "tag_scores": images.tag_scores,
    "text_lines": images.text_lines,
    "screen_marks": images.screen_marks,
    "burnt_in_text": images.burnt_in_text,
    "hand_edited_tags": images.hand_edited_tags,
    "tags": images.tags,
    "selection": sets.selection,
    "descriptions": sets.descriptions,
    "captions": sets.captions,
    "training_images": sets.training_images,
    "concept_balance": sets.concept_balance,
    "multiplies": sets.multiplies,
    "training_set": sets.training_set,
    "clips": sets.clips,
    "training_clips": sets.training_clips,
}


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        COLUMNS,
        subsequent_indent=" " * indent,
        max_lines=LINES_EACH,
        placeholder=" …",
        drop_whitespace=True,
        break_on_hyphens=False,
    )
