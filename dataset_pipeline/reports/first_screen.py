"""The first screen of `explain`: what an image shows, and each decision about it as its value against the limit.

Pure functions of what `explain.explain` gathered.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from dataset_pipeline.reports.explain import LEFT_OUT, Decision, Explanation

COLUMNS = 100  # what a line may take
LINES_EACH = 2  # of a decision
NAME_COLUMNS = 17
DROPPED = "dropped"
DEFECTS = ("combing", "ghost", "blockiness")

Row = Mapping[str, Any]


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


def boxes_of(explanation: Explanation) -> list[Row]:
    """The detections that belong to the image: the box that a crop was cut from, or all boxes of a still."""
    found = [
        row for decision in explanation.decisions if decision.asset == "detections" and "kind" in (row := decision.row)
    ]
    return [row for row in found if not explanation.of_crop or row.get("crop_id") == explanation.image_id]


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
        yield f"who: {', '.join(_named(name, explanation.names) for name in who)}"
    elif "clusters" in rows:
        yield "who: nobody known"
    if tags := rows.get("tags", {}).get("tags"):
        yield f"tags: {', '.join(tags)}"
    if (score := rows.get("quality_scores", {}).get("score")) is not None:
        yield f"quality: {score:.3f}"

    if clip := rows.get("clips"):
        for name in ("caption", "concept"):
            yield from [f"{name}: {clip[name]}"] if clip.get(name) else []
        yield from [f"told by: {', '.join(clip['stills'])}"] if clip.get("kept") and clip.get("stills") else []


def _named(character: str, names: Mapping[str, str]) -> str:
    name = names.get(character, "")
    return f"{name} ({character})" if name and name != character else character


def _decisions(explanation: Explanation) -> Iterable[str]:
    done = set()
    for decision in explanation.decisions:
        if decision.asset not in done:
            done.add(decision.asset)
            says = SAYS.get(decision.asset)
            if reason := decision.row.get(LEFT_OUT):
                text = f"left out: {reason}"
            else:
                text = says(decision, explanation) if says else _plainly(decision.row)
            yield f"{decision.asset:<{NAME_COLUMNS}} {text}"


def _keyframes(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    signals = [
        f"{name} {_number(row[name])}" for name in ("sharpness", "brightness", "contrast") if row.get(name) is not None
    ]
    return f"found by mode {_setting(decision, 'keyframes', 'mode')}; {', '.join(signals)}"


def _distinct_frames(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    reason = row.get("reason") or ("kept" if row.get("kept") else DROPPED)
    limit = _limit(decision, "distinct_frames", "similarity")
    keyframe = next((other.row for other in explanation.decisions if other.asset == "keyframes"), {})
    if reason == "kept":
        others = f"the best of {explanation.alike} frames" if explanation.alike > 1 else "no other frame is"
        return f"kept: {others} alike by more than {limit}"
    if reason == "duplicate":
        return f"dropped: {_number(row.get('similarity'))} > {limit} alike to {row.get('group')}"
    if reason == "blank":
        return f"dropped, blank: {_against(keyframe.get('contrast'), '<', decision, 'distinct_frames', 'min_contrast')}"
    if reason in DEFECTS:
        return f"dropped, {reason}: {_against(keyframe.get(reason), '>', decision, 'frame_defects', f'max_{reason}')}"
    return f"dropped, {reason}"


def _repeated_frames(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    where = f" in a repeated stretch ({row['segment']})" if row.get("segment") else ""
    if row.get("kept"):
        return f"kept: the best copy there is{where}" if where else "kept: no better copy in another episode"
    name = "aligned_similarity" if where else "similarity"
    limit = _limit(decision, "repeated_frames", name)
    return f"dropped: {_number(row.get('similarity'))} > {limit} alike to {row.get('group')}{where}"


def _detections(decision: Decision, explanation: Explanation) -> str:
    boxes = boxes_of(explanation)
    if explanation.of_crop:
        if not boxes:
            return "no box of now gives this crop"
        box = boxes[0]
        corners = ", ".join(f"{axis} {box[f'{axis}0_px']:.0f}..{box[f'{axis}1_px']:.0f}" for axis in "xy")
        return f"{box['kind']} with score {_number(box['score'])} at {corners} px of the still"
    best: dict[str, float] = {}
    counts = Counter(box["kind"] for box in boxes)
    for box in boxes:
        best[box["kind"]] = max(best.get(box["kind"], 0.0), box["score"])
    return ", ".join(f"{count} {kind} (best {_number(best[kind])})" for kind, count in counts.most_common())


def _crops(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    kind, side = row["kind"], min(row["width_px"], row["height_px"])
    limit = _limit(decision, "crops", f"{kind}_min_side_px")
    if not row.get("kept"):
        return (
            f"dropped, small: {side} px < {limit}" if row.get("reason") == "small" else f"dropped, {row.get('reason')}"
        )
    score = _against(row.get("score"), ">=", decision, "crops", f"{kind}_min_score")
    return f"kept: {side} px >= {limit}, score {score}"


def _clusters(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    who = ", ".join(_named(name, explanation.names) for name in row.get("characters") or ())
    if row.get("difference") is None:
        return who or "nobody known"
    given = _setting(decision, "clusters", "max_difference")
    limit = _limit(decision, "clusters", "max_difference") if given else "the model's own limit"
    near = f"{_number(row['difference'])} {'<=' if who else '>'} {limit}"
    return f"{who}: differs by {near}" if who else f"nobody known: the nearest differs by {near}"


def _quality_scores(decision: Decision, explanation: Explanation) -> str:
    selection = next((other for other in explanation.decisions if other.asset == "selection"), None)
    if selection is None:
        return _number(decision.row.get("score"))
    limit = _setting(selection, "selection", "min_quality")
    sign = "<" if limit is not None and (decision.row.get("score") or 0.0) < limit else ">="
    return f"{_number(decision.row.get('score'))} {sign} [selection] {_limit(selection, 'selection', 'min_quality')}"


def _tag_scores(decision: Decision, explanation: Explanation) -> str:
    tags = decision.row.get("tags") or []
    best = sorted(tags, key=lambda tag: -tag["score"])[:4]
    floor = _limit(decision, "tag_scores", "score_floor")
    named = (f"{tag['tag']} {_number(tag['score'])}" for tag in best)
    return f"{len(tags)} tags >= {floor}; {', '.join(named)}"


def _tags(decision: Decision, explanation: Explanation) -> str:
    kept, dropped = decision.row.get("tags") or [], decision.row.get("dropped") or []
    reasons = Counter(entry["reason"].partition(" of ")[0].partition(" by ")[0] for entry in dropped)
    why = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.most_common())
    source = ", written by hand" if decision.row.get("hand_edited") else ""
    limit = _limit(decision, "tag_thresholds", "general")
    added = decision.row.get("added") or []
    said = len(kept) - len(added)
    came = ", ".join(f"{entry['tag']} ({entry['reason']})" for entry in added)
    return f"kept {said} of {said + len(dropped)}{source}, >= {limit}" + (
        (f"; added: {came}" if came else "") + (f"; dropped: {why}" if why else "")
    )


def _selection(decision: Decision, explanation: Explanation) -> str:
    row, verdict = decision.row, decision.row.get("reason", "")
    crop = next((other.row for other in explanation.decisions if other.asset == "crops"), {})
    size = f"{explanation.shorter_side_px} px" if explanation.shorter_side_px else "its shorter side"
    faces, quality = f"{row.get('n_faces')} faces", _number(row.get("quality"))
    why: dict[str, tuple[str, str, str]] = {
        "small": (size, "<", "min_short_side_px"),
        "low_quality": (f"quality {quality}", "<", "min_quality"),
        "too_few_faces": (faces, "<", "min_faces"),
        "too_many_faces": (faces, ">", "max_faces"),
        "crop_fills_still": (f"{_number(crop.get('still_share'))} of its still", ">", "max_crop_share"),
        "kind_not_wanted": (f"a {row.get('kind')}", "is not in", "stills" if row.get("kind") == "still" else "crops"),
        "character_not_wanted": (", ".join(row.get("characters") or ()), "is not in", "characters"),
    }
    if row.get("selected"):
        limits = [(quality, "min_quality"), (size, "min_short_side_px")]
        limits_met = (f"{value} >= {_limit(decision, 'selection', name)}" for value, name in limits)
        return f"selected: {', '.join(limits_met)}"
    if verdict in why:
        value, sign, name = why[verdict]
        return f"left out, {verdict}: {value} {sign} {_limit(decision, 'selection', name)}"
    return f"left out, {verdict}"


def _descriptions(decision: Decision, explanation: Explanation) -> str:
    return decision.row.get("text") or f"none: {decision.row.get('status')}"


def _captions(decision: Decision, explanation: Explanation) -> str:
    return f"{_setting(decision, 'captions', 'template')}: {decision.row.get('caption')}"


def _training_images(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    by, limit = (_setting(decision, "training_images", name) for name in ("resize_by", "max_side_px"))
    made = f"{row.get('width_px')} x {row.get('height_px')} px, {(row.get('size_bytes') or 0) / 1000:.0f} kB"
    return f"{made} {PurePath(row.get('path') or '').suffix[1:]}; {by} <= max_side_px {limit}"


def _multiplies(decision: Decision, explanation: Explanation) -> str:
    return f"{_number(decision.row.get('multiply'))} times an epoch in {decision.row.get('concept')}"


def _clips(decision: Decision, explanation: Explanation) -> str:
    row, reason = decision.row, decision.row.get("reason", "")
    frames, fps, margin = (_limit(decision, "clips", name) for name in ("frames", "fps", "margin_s"))
    change, contrast = (
        _against(row.get(name), sign, decision, "clips", f"min_{name}")
        for name, sign in (
            ("change", "<" if reason == "held" else ">="),
            ("contrast", "<" if reason == "blank" else ">="),
        )
    )
    lasts_s = (row.get("end_s") or 0.0) - (row.get("start_s") or 0.0)
    why = {
        "short": f"{_number(lasts_s)} s less {margin} hold no clip of {frames} at {fps}",
        "blank": f"contrast {contrast}",
        "held": f"changes by {change}",
        "both_parts": f"held-out and other minutes by {_limit(decision, 'training_set', 'validation_share')}",
        "repeated": "another episode has the same stills, and the clip",
        "duplicate": "an earlier clip of the episode shows the same stills",
        "undescribed": "the set has no image of the shot",
    }
    if row.get("kept"):
        size = f"{row.get('frames')} frames at {row.get('fps')} a second of shot {row.get('shot')}"
        return f"kept, for {row.get('split')}: {size}, changes by {change}, contrast {contrast}"
    return f"left out, {reason}: {why.get(reason, '')} (shot {row.get('shot')})"


def _training_clips(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    by, limit = (_setting(decision, "training_clips", name) for name in ("resize_by", "max_side_px"))
    made = f"{row.get('width_px')} x {row.get('height_px')} px, {(row.get('size_bytes') or 0) / 1000:.0f} kB"
    return f"{made}; {by} <= max_side_px {limit}"


def _training_set(decision: Decision, explanation: Explanation) -> str:
    return f"in the set, for {decision.row.get('split')}"


def _hand_edited_tags(decision: Decision, explanation: Explanation) -> str:
    return f"{len(decision.row.get('tags') or ())} tags in {decision.row.get('file')}"


def _picture(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    return f"{row.get('kind')} of {row.get('width_px')} x {row.get('height_px')} px, written by {row.get('source')}"


SAYS: dict[str, Callable[[Decision, Explanation], str]] = {
    "keyframes": _keyframes,
    "distinct_frames": _distinct_frames,
    "repeated_frames": _repeated_frames,
    "stills": _picture,
    "detections": _detections,
    "crops": _crops,
    "images": _picture,
    "clusters": _clusters,
    "quality_scores": _quality_scores,
    "tag_scores": _tag_scores,
    "hand_edited_tags": _hand_edited_tags,
    "tags": _tags,
    "selection": _selection,
    "descriptions": _descriptions,
    "captions": _captions,
    "training_images": _training_images,
    "multiplies": _multiplies,
    "training_set": _training_set,
    "clips": _clips,
    "training_clips": _training_clips,
}


def _plainly(row: Row) -> str:
    """Of a table without words of its own: its short values."""
    plain = {name: value for name, value in row.items() if isinstance(value, (str, int, float)) and value != ""}
    return ", ".join(f"{name} {_number(value)}" for name, value in plain.items())


def _setting(decision: Decision, section: str, name: str) -> Any:
    return decision.settings.get(section, {}).get(name)


def _limit(decision: Decision, section: str, name: str) -> str:
    """`head_min_side_px 96`, with the section before it if it is not the asset's own."""
    value = _setting(decision, section, name)
    shown = ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else _number(value)
    where = "" if section == decision.asset else f"[{section}] "
    return f"{where}{name} {shown}" if value is not None else f"{where}{name}"


def _against(value: Any, sign: str, decision: Decision, section: str, name: str) -> str:
    return f"{_number(value)} {sign} {_limit(decision, section, name)}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


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
