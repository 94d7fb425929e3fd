"""The first screen of `explain`: what an image shows, and each decision about it as its value against the limit.

Pure functions of what `explain.explain` gathered.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from dataset_pipeline.base.ids import DETAIL, box_of_crop, is_detail
from dataset_pipeline.corrections.answers import CHOSEN, KEPT, REJECTED
from dataset_pipeline.reports.explain import LEFT_OUT, Decision, Explanation, SaidOf
from dataset_pipeline.stitching.drawing import LEAST_SHOWN
from dataset_pipeline.training.selection import OF_PLATE

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

    for it in explanation.corrections:
        yield f"by hand: {_told(it, explanation)}"
    if clip := rows.get("clips"):
        for name in ("caption", "concept"):
            yield from [f"{name}: {clip[name]}"] if clip.get(name) else []
        yield from [f"told by: {', '.join(clip['stills'])}"] if clip.get("kept") and clip.get("stills") else []


def _told(said: SaidOf, explanation: Explanation) -> str:
    """`reject of its still, 2026-11-29 16:03 by the page (e-1234)`."""
    values = [
        ", ".join(map(str, value)) if isinstance(value, list) else _named(str(value), explanation.names)
        for value in said.value.values()
    ]
    of = " of its still" if said.of != explanation.image_id else ""
    when = f"{said.said[:4]}-{said.said[4:6]}-{said.said[6:8]} {said.said[9:11]}:{said.said[11:13]}"
    return (
        f"{said.do}{of} {' '.join(values)}".rstrip() + f", {when}{f' by {said.by}' if said.by else ''} ({said.event})"
    )


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
    if reason in (KEPT, CHOSEN):
        return f"{reason.replace('_', ' ')}: {explanation.alike} frames alike" if explanation.alike > 1 else reason
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
        if is_detail(box_of_crop(explanation.image_id)[0]):
            return "looked at for the details of its still"
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
    whole = f", part of {row['part_of'].partition('#')[2]}" if row.get("part_of") else ""
    return f"kept: {side} px >= {limit}, score {score}{whole}"


def _details(decision: Decision, explanation: Explanation) -> str:
    row, reason = decision.row, decision.row.get("reason", "")
    corners = ", ".join(f"{axis} {row[f'{axis}0_px']:.0f}..{row[f'{axis}1_px']:.0f}" for axis in "xy")
    what = f"{row['kind'].removesuffix(DETAIL)} at {corners} px of the still"
    if row.get("score") is not None:
        what += f", score {_number(row['score'])}"
    limits = {"small": ("below three quarters of", "target_px"), "over_limit": ("above", "max_per_still")}
    if row.get("kept"):
        return f"kept: {what}; {row['width_px']} px wide"
    if reason in limits:
        words, name = limits[reason]
        return f"dropped, {reason}: {what}; {words} {_limit(decision, 'details', name)}"
    return f"dropped, {reason}" + (f" of {row['group']}" if reason == "duplicate" else "") + f": {what}"


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


def _text_lines(decision: Decision, explanation: Explanation) -> str:
    lines = decision.row.get("lines") or []
    floor = _limit(decision, "text_lines", "score_floor")
    return f"{len(lines)} lines of lettering >= {floor}; {', '.join(_number(line['score']) for line in lines[:6])}"


def _screen_marks(decision: Decision, explanation: Explanation) -> str:
    return f"a mark that stays at its place of the screen, likeness {_number(decision.row.get('score'))}"


def _burnt_in_text(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    x0, y0, x1, y1 = (round(row.get(side) or 0) for side in ("x0_px", "y0_px", "x1_px", "y1_px"))
    counts = "is" if row.get("burnt_in") else "is not"
    kinds = _setting(decision, "burnt_in_text", "kinds")
    return (
        f"{row.get('kind')} of {x1 - x0} x {y1 - y0} px at ({x0}, {y0}), score {_number(row.get('score'))}, found by "
        f"{row.get('found_by')}; {counts} in kinds {kinds}"
    )


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
    crop = next((other.row for other in explanation.decisions if other.asset in ("crops", "details")), {})
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
        "burnt_in_text": ("text lies on it", "and too little is left by", "text"),
    }
    if row.get("selected") and any(it.do == "keep" for it in explanation.corrections):
        return "selected: kept by hand"
    if row.get("selected"):
        limits = [(quality, "min_quality"), (size, "min_short_side_px")]
        limits_met = (f"{value} >= {_limit(decision, 'selection', name)}" for value, name in limits)
        cut = row.get("cut_px")
        without = f"; text cut away: {cut[2] - cut[0]} x {cut[3] - cut[1]} px from ({cut[0]}, {cut[1]})" if cut else ""
        return f"selected: {', '.join(limits_met)}{without}"
    if verdict == REJECTED:
        return "left out: rejected by hand"
    if verdict == OF_PLATE:
        return "left out, of_plate: the frame that this person was put back from gives the same crop"
    if verdict == "in_panorama":
        limit = _limit(decision, "selection", "frames_of_panoramas")
        return f"left out: a panorama that goes in shows all of it, and nobody known is on it; {limit}"
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


def _alignments(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    looked = f"{row.get('frames')} of {row.get('shot_frames')} frames looked at"
    if reason := row.get("reason"):
        return f"not placed, {reason.replace('_', ' ')}: {looked}"
    layers = [
        f"{_number(it['share'])} of it goes {_number(it['ratio'])} times as far" for it in row.get("layers") or ()
    ]
    agree = f"far frames agree by {_number(row.get('agreement'))}, places to {_number(row.get('residual_px'))} px"
    return ", ".join([f"placed: {looked}", agree, *layers])


def _stitched(decision: Decision, explanation: Explanation) -> str:
    """The verdict with what its reason goes by: what falls short of its limit, and else all that was measured."""
    row, reason = decision.row, decision.row.get("reason") or ""
    size = f"{row.get('width_px')} x {row.get('height_px')} px" if row.get("path") else ""
    picture = [f"{size} of {row.get('frames')} frames"] if size else []
    told = row.get("verdict") or "" if reason == "kept" else f"{row.get('verdict')}, {reason.replace('_', ' ')}"
    aligned = next((other.row for other in explanation.decisions if other.asset == "alignments"), {})
    if reason in ("too_little_travel", "zoom_adds_nothing"):
        frame = f"{aligned.get('width_px')} x {aligned.get('height_px')}"
        small = [f"{size}, too little for frames of {frame}"] if size and aligned.get("width_px") else picture
        return "; ".join([told, *small, f"goes by {_limit(decision, decision.asset, 'min_travel')}"])
    measured = _measured(decision, aligned.get("residual_px"))
    by = {
        "parallax": ("like_frame", "known", "shown"),
        "content_moves": ("like_frame",),
        "too_much_unknown": ("known", "shown"),
        "badly_placed": ("residual",),
    }.get(reason)
    if by is None:
        return "; ".join([told, *picture, *(text for text, _ in measured.values())])
    short = [measured[name][0] for name in by if name in measured and not measured[name][1]]
    if not short and reason == "content_moves":
        short = ["most of the place moves in most of the frames"]
    if not short and reason == "badly_placed":
        short = [f"frames disagree by more than {_limit(decision, decision.asset, 'max_residual_px')}"]
    return "; ".join([told, *short, *picture])


def _measured(decision: Decision, residual_px: float | None) -> dict[str, tuple[str, bool]]:
    """What is known of a panorama or a plate against its limits, and whether it is enough to keep it."""
    row, asset, found = decision.row, decision.asset, {}
    for name, column in (("like_frame", "like_frame"), ("known", "known_share")):
        if (value := row.get(column)) is not None:
            enough = value >= (_setting(decision, asset, name) or 0.0)
            words, keep = f"{name.replace('_', ' ')} {_number(value)}", _limit(decision, asset, name)
            ask = _limit(decision, asset, f"doubtful_{name}")
            found[name] = f"{words} >= {keep}" if enough else f"{words} (keep from {keep}, ask from {ask})", enough
    if (shown := row.get("shown_share")) is not None:
        enough = shown >= LEAST_SHOWN
        words = f"shown share {_number(shown)}"
        lacks = f"{words} of the largest rectangle that was seen (keep from {LEAST_SHOWN})"
        found["shown"] = f"{words} >= {LEAST_SHOWN}" if enough else lacks, enough
    if residual_px is not None:
        enough = residual_px <= (_setting(decision, asset, "max_residual_px") or 0.0)
        limit = _against(residual_px, "<=" if enough else ">", decision, asset, "max_residual_px")
        found["residual"] = f"frames disagree by {limit}", enough
    return found


SAYS: dict[str, Callable[[Decision, Explanation], str]] = {
    "keyframes": _keyframes,
    "distinct_frames": _distinct_frames,
    "alignments": _alignments,
    "panoramas": _stitched,
    "backdrops": _stitched,
    "repeated_frames": _repeated_frames,
    "stills": _picture,
    "detections": _detections,
    "crops": _crops,
    "details": _details,
    "images": _picture,
    "clusters": _clusters,
    "quality_scores": _quality_scores,
    "tag_scores": _tag_scores,
    "text_lines": _text_lines,
    "screen_marks": _screen_marks,
    "burnt_in_text": _burnt_in_text,
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
