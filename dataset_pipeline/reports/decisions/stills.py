"""In a line each, what was decided about frames, panoramas and plates."""

from __future__ import annotations

from dataset_pipeline.corrections.answers import CHOSEN, KEPT
from dataset_pipeline.reports.decisions.values import against, limit_of, number, setting_of
from dataset_pipeline.reports.explain import Decision, Explanation
from dataset_pipeline.stitching.drawing import LEAST_SHOWN

DROPPED = "dropped"
DEFECTS = ("combing", "ghost", "blockiness")


def keyframes(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    signals = [
        f"{name} {number(row[name])}" for name in ("sharpness", "brightness", "contrast") if row.get(name) is not None
    ]
    return f"found by mode {setting_of(decision, 'keyframes', 'mode')}; {', '.join(signals)}"


def distinct_frames(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    reason = row.get("reason") or ("kept" if row.get("kept") else DROPPED)
    limit = limit_of(decision, "distinct_frames", "similarity")
    keyframe = next((other.row for other in explanation.decisions if other.asset == "keyframes"), {})
    if reason in (KEPT, CHOSEN):
        return f"{reason.replace('_', ' ')}: {explanation.alike} frames alike" if explanation.alike > 1 else reason
    if reason == "kept":
        others = f"the best of {explanation.alike} frames" if explanation.alike > 1 else "no other frame is"
        return f"kept: {others} alike by more than {limit}"
    if reason == "duplicate":
        return f"dropped: {number(row.get('similarity'))} > {limit} alike to {row.get('group')}"
    if reason == "blank":
        return f"dropped, blank: {against(keyframe.get('contrast'), '<', decision, 'distinct_frames', 'min_contrast')}"
    if reason in DEFECTS:
        return f"dropped, {reason}: {against(keyframe.get(reason), '>', decision, 'frame_defects', f'max_{reason}')}"
    return f"dropped, {reason}"


def repeated_frames(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    where = f" in a repeated stretch ({row['segment']})" if row.get("segment") else ""
    if row.get("kept"):
        return f"kept: the best copy there is{where}" if where else "kept: no better copy in another episode"
    name = "aligned_similarity" if where else "similarity"
    limit = limit_of(decision, "repeated_frames", name)
    return f"dropped: {number(row.get('similarity'))} > {limit} alike to {row.get('group')}{where}"


def picture(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    return f"{row.get('kind')} of {row.get('width_px')} x {row.get('height_px')} px, written by {row.get('source')}"


def alignments(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    looked = f"{row.get('frames')} of {row.get('shot_frames')} frames looked at"
    if reason := row.get("reason"):
        return f"not placed, {reason.replace('_', ' ')}: {looked}"
    layers = [f"{number(it['share'])} of it goes {number(it['ratio'])} times as far" for it in row.get("layers") or ()]
    agree = f"far frames agree by {number(row.get('agreement'))}, places to {number(row.get('residual_px'))} px"
    return ", ".join([f"placed: {looked}", agree, *layers])


def stitched(decision: Decision, explanation: Explanation) -> str:
    """The verdict with what its reason goes by: what falls short of its limit, and else all that was measured."""
    row, reason = decision.row, decision.row.get("reason") or ""
    size = f"{row.get('width_px')} x {row.get('height_px')} px" if row.get("path") else ""
    picture = [f"{size} of {row.get('frames')} frames"] if size else []
    told = row.get("verdict") or "" if reason == "kept" else f"{row.get('verdict')}, {reason.replace('_', ' ')}"
    aligned = next((other.row for other in explanation.decisions if other.asset == "alignments"), {})
    if reason in ("too_little_travel", "zoom_adds_nothing"):
        frame = f"{aligned.get('width_px')} x {aligned.get('height_px')}"
        small = [f"{size}, too little for frames of {frame}"] if size and aligned.get("width_px") else picture
        return "; ".join([told, *small, f"goes by {limit_of(decision, decision.asset, 'min_travel')}"])
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
        short = [f"frames disagree by more than {limit_of(decision, decision.asset, 'max_residual_px')}"]
    return "; ".join([told, *short, *picture])


def _measured(decision: Decision, residual_px: float | None) -> dict[str, tuple[str, bool]]:
    """What is known of a panorama or a plate against its limits, and whether it is enough to keep it."""
    row, asset, found = decision.row, decision.asset, {}
    for name, column in (("like_frame", "like_frame"), ("known", "known_share")):
        if (value := row.get(column)) is not None:
            enough = value >= (setting_of(decision, asset, name) or 0.0)
            words, keep = f"{name.replace('_', ' ')} {number(value)}", limit_of(decision, asset, name)
            ask = limit_of(decision, asset, f"doubtful_{name}")
            found[name] = f"{words} >= {keep}" if enough else f"{words} (keep from {keep}, ask from {ask})", enough
    if (shown := row.get("shown_share")) is not None:
        enough = shown >= LEAST_SHOWN
        words = f"shown share {number(shown)}"
        lacks = f"{words} of the largest rectangle that was seen (keep from {LEAST_SHOWN})"
        found["shown"] = f"{words} >= {LEAST_SHOWN}" if enough else lacks, enough
    if residual_px is not None:
        enough = residual_px <= (setting_of(decision, asset, "max_residual_px") or 0.0)
        limit = against(residual_px, "<=" if enough else ">", decision, asset, "max_residual_px")
        found["residual"] = f"frames disagree by {limit}", enough
    return found
