"""In a line each, what was found on an image and decided about what is on it."""

from __future__ import annotations

from collections import Counter

from dataset_pipeline.base.ids import DETAIL, box_of_crop, is_detail
from dataset_pipeline.reports.decisions.values import Row, against, limit_of, name_of, number, setting_of
from dataset_pipeline.reports.explain import Decision, Explanation


def boxes_of(explanation: Explanation) -> list[Row]:
    """The detections that belong to the image: the box that a crop was cut from, or all boxes of a still."""
    found = [
        row for decision in explanation.decisions if decision.asset == "detections" and "kind" in (row := decision.row)
    ]
    return [row for row in found if not explanation.of_crop or row.get("crop_id") == explanation.image_id]


def detections(decision: Decision, explanation: Explanation) -> str:
    boxes = boxes_of(explanation)
    if explanation.of_crop:
        if is_detail(box_of_crop(explanation.image_id)[0]):
            return "looked at for the details of its still"
        if not boxes:
            return "no box of now gives this crop"
        box = boxes[0]
        corners = ", ".join(f"{axis} {box[f'{axis}0_px']:.0f}..{box[f'{axis}1_px']:.0f}" for axis in "xy")
        return f"{box['kind']} with score {number(box['score'])} at {corners} px of the still"
    best: dict[str, float] = {}
    counts = Counter(box["kind"] for box in boxes)
    for box in boxes:
        best[box["kind"]] = max(best.get(box["kind"], 0.0), box["score"])
    return ", ".join(f"{count} {kind} (best {number(best[kind])})" for kind, count in counts.most_common())


def crops(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    kind, side = row["kind"], min(row["width_px"], row["height_px"])
    limit = limit_of(decision, "crops", f"{kind}_min_side_px")
    if not row.get("kept"):
        return (
            f"dropped, small: {side} px < {limit}" if row.get("reason") == "small" else f"dropped, {row.get('reason')}"
        )
    score = against(row.get("score"), ">=", decision, "crops", f"{kind}_min_score")
    whole = f", part of {row['part_of'].partition('#')[2]}" if row.get("part_of") else ""
    return f"kept: {side} px >= {limit}, score {score}{whole}"


def details(decision: Decision, explanation: Explanation) -> str:
    row, reason = decision.row, decision.row.get("reason", "")
    corners = ", ".join(f"{axis} {row[f'{axis}0_px']:.0f}..{row[f'{axis}1_px']:.0f}" for axis in "xy")
    what = f"{row['kind'].removesuffix(DETAIL)} at {corners} px of the still"
    if row.get("score") is not None:
        what += f", score {number(row['score'])}"
    limits = {"small": ("below three quarters of", "target_px"), "over_limit": ("above", "max_per_still")}
    if row.get("kept"):
        return f"kept: {what}; {row['width_px']} px wide"
    if reason in limits:
        words, name = limits[reason]
        return f"dropped, {reason}: {what}; {words} {limit_of(decision, 'details', name)}"
    return f"dropped, {reason}" + (f" of {row['group']}" if reason == "duplicate" else "") + f": {what}"


def clusters(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    who = ", ".join(name_of(name, explanation.names) for name in row.get("characters") or ())
    if row.get("difference") is None:
        return who or "nobody known"
    given = setting_of(decision, "clusters", "max_difference")
    limit = limit_of(decision, "clusters", "max_difference") if given else "the model's own limit"
    near = f"{number(row['difference'])} {'<=' if who else '>'} {limit}"
    return f"{who}: differs by {near}" if who else f"nobody known: the nearest differs by {near}"


def quality_scores(decision: Decision, explanation: Explanation) -> str:
    selection = next((other for other in explanation.decisions if other.asset == "selection"), None)
    limit = setting_of(selection, "selection", "min_quality") if selection else None
    if selection is None or not limit:
        return number(decision.row.get("score"))
    sign = "<" if (decision.row.get("score") or 0.0) < limit else ">="
    return f"{number(decision.row.get('score'))} {sign} [selection] {limit_of(selection, 'selection', 'min_quality')}"


def tag_scores(decision: Decision, explanation: Explanation) -> str:
    tags = decision.row.get("tags") or []
    best = sorted(tags, key=lambda tag: -tag["score"])[:4]
    floor = limit_of(decision, "tag_scores", "score_floor")
    named = (f"{tag['tag']} {number(tag['score'])}" for tag in best)
    return f"{len(tags)} tags >= {floor}; {', '.join(named)}"


def text_lines(decision: Decision, explanation: Explanation) -> str:
    lines = decision.row.get("lines") or []
    floor = limit_of(decision, "text_lines", "score_floor")
    return f"{len(lines)} lines of lettering >= {floor}; {', '.join(number(line['score']) for line in lines[:6])}"


def screen_marks(decision: Decision, explanation: Explanation) -> str:
    return f"a mark that stays at its place of the screen, likeness {number(decision.row.get('score'))}"


def burnt_in_text(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    x0, y0, x1, y1 = (round(row.get(side) or 0) for side in ("x0_px", "y0_px", "x1_px", "y1_px"))
    counts = "is" if row.get("burnt_in") else "is not"
    kinds = setting_of(decision, "burnt_in_text", "kinds")
    return (
        f"{row.get('kind')} of {x1 - x0} x {y1 - y0} px at ({x0}, {y0}), score {number(row.get('score'))}, found by "
        f"{row.get('found_by')}; {counts} in kinds {kinds}"
    )


def hand_edited_tags(decision: Decision, explanation: Explanation) -> str:
    return f"{len(decision.row.get('tags') or ())} tags in {decision.row.get('file')}"


def tags(decision: Decision, explanation: Explanation) -> str:
    kept, dropped = decision.row.get("tags") or [], decision.row.get("dropped") or []
    reasons = Counter(entry["reason"].partition(" of ")[0].partition(" by ")[0] for entry in dropped)
    why = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.most_common())
    source = ", written by hand" if decision.row.get("hand_edited") else ""
    limit = limit_of(decision, "tag_thresholds", "general")
    added = decision.row.get("added") or []
    said = len(kept) - len(added)
    came = ", ".join(f"{entry['tag']} ({entry['reason']})" for entry in added)
    return f"kept {said} of {said + len(dropped)}{source}, >= {limit}" + (
        (f"; added: {came}" if came else "") + (f"; dropped: {why}" if why else "")
    )
