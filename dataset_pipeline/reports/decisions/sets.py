"""In a line each, what was decided about an image, or a clip, as part of the set."""

from __future__ import annotations

from pathlib import PurePath

from dataset_pipeline.corrections.answers import REJECTED
from dataset_pipeline.reports.decisions.values import against, limit_of, number, setting_of
from dataset_pipeline.reports.explain import Decision, Explanation
from dataset_pipeline.training.score_cut import OF_CUT
from dataset_pipeline.training.selection import OF_PLATE


def selection(decision: Decision, explanation: Explanation) -> str:
    row, verdict = decision.row, decision.row.get("reason", "")
    crop = next((other.row for other in explanation.decisions if other.asset in ("crops", "details")), {})
    size = f"{explanation.shorter_side_px} px" if explanation.shorter_side_px else "its shorter side"
    faces, quality = f"{row.get('n_faces')} faces", number(row.get("quality"))
    why: dict[str, tuple[str, str, str]] = {
        "small": (size, "<", "min_short_side_px"),
        "low_quality": (f"quality {quality}", "<", "min_quality"),
        "too_few_faces": (faces, "<", "min_faces"),
        "too_many_faces": (faces, ">", "max_faces"),
        "crop_fills_still": (f"{number(crop.get('still_share'))} of its still", ">", "max_crop_share"),
        "kind_not_wanted": (f"a {row.get('kind')}", "is not in", "stills" if row.get("kind") == "still" else "crops"),
        "character_not_wanted": (", ".join(row.get("characters") or ()), "is not in", "characters"),
        "burnt_in_text": ("text lies on it", "and too little is left by", "text"),
    }
    if row.get("selected") and any(it.do == "keep" for it in explanation.corrections):
        return "selected: kept by hand"
    if row.get("selected"):
        limits = [(quality, "min_quality"), (size, "min_short_side_px")]
        limits_met = (
            f"{value} >= {limit_of(decision, 'selection', name)}"
            for value, name in limits
            if setting_of(decision, "selection", name) != 0
        )
        cut = row.get("cut_px")
        without = f"; text cut away: {cut[2] - cut[0]} x {cut[3] - cut[1]} px from ({cut[0]}, {cut[1]})" if cut else ""
        return f"selected: {', '.join(limits_met)}{without}"
    if verdict == REJECTED:
        return "left out: rejected by hand"
    if verdict == OF_PLATE:
        return "left out, of_plate: the frame that this person was put back from gives the same crop"
    if verdict == "in_panorama":
        limit = limit_of(decision, "selection", "frames_of_panoramas")
        return f"left out: a panorama that goes in shows all of it, and nobody known is on it; {limit}"
    if verdict in why:
        value, sign, name = why[verdict]
        return f"left out, {verdict}: {value} {sign} {limit_of(decision, 'selection', name)}"
    return f"left out, {verdict}"


def descriptions(decision: Decision, explanation: Explanation) -> str:
    return decision.row.get("text") or f"none: {decision.row.get('status')}"


def captions(decision: Decision, explanation: Explanation) -> str:
    return f"{setting_of(decision, 'captions', 'template')}: {decision.row.get('caption')}"


def training_images(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    by, limit = (setting_of(decision, "training_images", name) for name in ("resize_by", "max_side_px"))
    made = f"{row.get('width_px')} x {row.get('height_px')} px, {(row.get('size_bytes') or 0) / 1000:.0f} kB"
    return f"{made} {PurePath(row.get('path') or '').suffix[1:]}; {by} <= max_side_px {limit}"


def concept_balance(decision: Decision, explanation: Explanation) -> str:
    reason = decision.row.get("reason", "")
    if reason in OF_CUT:
        cut = (limit_of(decision, "selection", name) for name in ("how", "by", "amount"))
        return f"left out, {reason}: {', '.join(cut)}"
    return f"left out, {reason or 'over a quota'}"


def multiplies(decision: Decision, explanation: Explanation) -> str:
    return f"{number(decision.row.get('multiply'))} times an epoch in {decision.row.get('concept')}"


def training_set(decision: Decision, explanation: Explanation) -> str:
    return f"in the set, for {decision.row.get('split')}"


def clips(decision: Decision, explanation: Explanation) -> str:
    row, reason = decision.row, decision.row.get("reason", "")
    frames, fps, margin = (limit_of(decision, "clips", name) for name in ("frames", "fps", "margin_s"))
    change, contrast = (
        against(row.get(name), sign, decision, "clips", f"min_{name}")
        for name, sign in (
            ("change", "<" if reason == "held" else ">="),
            ("contrast", "<" if reason == "blank" else ">="),
        )
    )
    lasts_s = (row.get("end_s") or 0.0) - (row.get("start_s") or 0.0)
    why = {
        "short": f"{number(lasts_s)} s less {margin} hold no clip of {frames} at {fps}",
        "blank": f"contrast {contrast}",
        "held": f"changes by {change}",
        "both_parts": f"held-out and other minutes by {limit_of(decision, 'training_set', 'validation_share')}",
        "repeated": "another episode has the same stills, and the clip",
        "duplicate": "an earlier clip of the episode shows the same stills",
        "undescribed": "the set has no image of the shot",
    }
    if row.get("kept"):
        size = f"{row.get('frames')} frames at {row.get('fps')} a second of shot {row.get('shot')}"
        return f"kept, for {row.get('split')}: {size}, changes by {change}, contrast {contrast}"
    return f"left out, {reason}: {why.get(reason, '')} (shot {row.get('shot')})"


def training_clips(decision: Decision, explanation: Explanation) -> str:
    row = decision.row
    by, limit = (setting_of(decision, "training_clips", name) for name in ("resize_by", "max_side_px"))
    made = f"{row.get('width_px')} x {row.get('height_px')} px, {(row.get('size_bytes') or 0) / 1000:.0f} kB"
    return f"{made}; {by} <= max_side_px {limit}"
