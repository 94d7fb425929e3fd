"""Why an image is in one set and not in the other.

Where the tables behind the set without it are at hand, its own rows say at which step it was left out; the cause is
what changed of the settings which that step goes by, else of what is behind it. Without tables each changed setting is
held against what the other set says of the image: it decided, cannot have decided, or may have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataset_pipeline.base.ids import episode_of, is_clip, is_detail, kind_of_span
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.corrections.addressing import MATCHED, STITCHED
from dataset_pipeline.corrections.answers import CHOSEN, EXCLUDED, KEPT, REJECTED
from dataset_pipeline.images.crops import DRAWN, NO_FACE, NO_HEAD, REPLACED
from dataset_pipeline.images.stills import KEEP
from dataset_pipeline.settings import CutSettings
from dataset_pipeline.training.score_cut import OF_CUT
from dataset_pipeline.training.set_diff.changes import Changes, Key, Reason
from dataset_pipeline.training.set_diff.sets import Image, Row, Rows, TrainingSet
from dataset_pipeline.training.split import REGULARIZATION

STILL = "still"
# Of these goes what is said of a clip, and not whether there is one.
SAID_ONLY = frozenset({"clips", "captions", "tags", "core_tags", "hand_edited_tags"})
OUT_BY_HAND = "a stretch that was taken out by hand"
QUOTAS = ("max_images", "max_images_per_concept", "max_images_per_character")
CUT = frozenset({*CutSettings.model_fields, "strata"})  # keys of [selection]


@dataclass(frozen=True)
class Rule:
    """A reason of `selection` in words, the keys of [selection] it goes by, and the asset whose answer it goes by."""

    what: str
    keys: tuple[str, ...]
    measured_by: str


RULES = {
    "kind_not_wanted": Rule("of a kind that is not wanted", ("stills", "crops"), "selection"),
    "small": Rule("too small", ("min_short_side_px",), "images"),
    "not_scored": Rule("without a quality score", (), "quality_scores"),
    "not_tagged": Rule("without tags", (), "tag_scores"),
    "low_quality": Rule("of too low a quality", ("min_quality",), "quality_scores"),
    "faces_not_counted": Rule("without counted faces", ("min_faces", "max_faces"), "detections"),
    "too_few_faces": Rule("with too few faces", ("min_faces", "face_min_score"), "detections"),
    "too_many_faces": Rule("with too many faces", ("max_faces", "face_min_score"), "detections"),
    "nobody_known": Rule("without a known character", ("without_characters",), "clusters"),
    "in_panorama": Rule("that a panorama shows whole", ("frames_of_panoramas",), "images"),
    "of_plate": Rule("of somebody on a plate, as in the frame that they are from", (), "images"),
    "character_not_wanted": Rule("without a wanted character", ("characters",), "clusters"),
    "burnt_in_text": Rule("with burnt-in text", ("text", "min_share_without_text"), "burnt_in_text"),
}


# By the reason of a panorama or a plate, the keys of its section that it goes by.
STITCHED_KEYS = {
    **dict.fromkeys(("parallax", "content_moves"), ("like_frame", "doubtful_like_frame")),
    "too_much_unknown": ("known", "doubtful_known"),
    "badly_placed": ("max_residual_px",),
    **dict.fromkeys(("too_little_travel", "zoom_adds_nothing"), ("min_travel",)),
}


class Presence:
    """The reasons why images of one set are not in `without`. is_gone: that is the newer set of the two."""

    def __init__(self, without: TrainingSet, other: TrainingSet, changes: Changes, is_gone: bool) -> None:
        self.without, self.other, self.changes, self.is_gone = without, other, changes, is_gone
        self._episodes = without.lineage.sources.keys() or {image.episode for image in without.images.values()}
        self._sources = {version: key for key, version in without.lineage.sources.items()}

    def why(self, image: Image) -> Reason:
        episode = image.episode
        if image.part == REGULARIZATION:
            return Reason(self._of_class(episode))
        if episode not in self._episodes:
            return Reason(self._of_episode(episode))
        if is_clip(image.image_id):
            return self._of_clip(image)
        rows = self.without.tables("selection", episode)
        if rows is None:
            return self._by_settings(image)
        if (by_hand := self._chosen(image)) is not None:
            return by_hand
        row = rows.get(image.image_id)
        if row is None and image.is_crop and image.still_id in rows:
            return self._of_crop(image)
        if row is None:
            return self._of_frame(image)
        return self._not_in_set(image) if row["selected"] else self._by_rule(image, row, rows)

    def _chosen(self, image: Image) -> Reason | None:
        """The reason, if the other set has the image only since a person kept it, or chose its frame."""
        frame = (self.other.row("distinct_frames", image.still_id) or {}).get("reason")
        beside = (self.without.row("distinct_frames", image.still_id) or {}).get("reason", frame)
        kept = (self.other.row(MATCHED, image.image_id) or {}).get("reason") == KEPT
        before = self.without.tables(MATCHED, image.episode)
        kept_before = before is None or before.get(image.image_id, {}).get("reason") == KEPT
        what = "kept by hand" if kept and not kept_before else ""
        if frame in (KEPT, CHOSEN) and beside != frame:
            what = f"{'cut from a frame ' if image.is_crop else ''}{frame.replace('_', ' ')}"
        if not what:
            return None
        return Reason(f"no longer {what}" if self.is_gone else what)

    def _of_episode(self, episode: str) -> str:
        version = self.other.lineage.sources.get(episode, "")
        if renamed := self._sources.get(version):
            old, new = (episode, renamed) if self.is_gone else (renamed, episode)
            return f"episode {old} is called {new} now"
        return f"episode {episode} is {'gone' if self.is_gone else 'new'}"

    def _of_class(self, name: str) -> str:
        """Of a picture of a regularization class."""
        if any(it.part == REGULARIZATION and it.episode == name for it in self.without.images.values()):
            return f"the class {name} {'does not keep it' if self.is_gone else 'keeps it'}"
        return f"class {name} is {'gone' if self.is_gone else 'new'}"

    def _says(self, what: str) -> str:
        return what if self.is_gone else f"no longer {what}"

    def _reason(self, what: str, causes: tuple[str, ...], detail: str = "") -> Reason:
        return Reason(self._says(what), causes, detail)

    # ------------------------------------------------------------------------------------------------ by tables

    def _of_frame(self, image: Image) -> Reason:
        still, episode = image.still_id, image.episode
        if kind_of_span(still):
            return self._of_stitched(image)
        row = self.without.row("distinct_frames", still)
        cut_from = "cut from a frame that is " if image.is_crop else ""
        if row is None:
            return self._reason("a frame that was not looked at", self.changes.upstream("keyframes", episode))
        reason = row["reason"]
        if reason == "duplicate":
            return self._near_duplicate(row, episode, cut_from)
        if reason == EXCLUDED:
            return self._reason(f"{'cut from a frame ' if cut_from else ''}of {OUT_BY_HAND}", ())
        keys: dict[str, list[Key]] = {
            "blank": [("distinct_frames", "min_contrast")],
            **{name: [("frame_defects", f"max_{name}"), ("frame_defects", "drop")] for name in ("combing", "ghost")},
            "blockiness": [("frame_defects", "max_blockiness"), ("frame_defects", "drop")],
        }
        causes = self.changes.causes("distinct_frames", episode, keys.get(reason, ()), "keyframes")
        if row["kept"]:
            return self._reason("a frame that the later steps did not see", causes)
        return self._reason(f"{cut_from}{reason.replace('_', ' ')}", causes)

    def _of_stitched(self, image: Image) -> Reason:
        asset = next(asset for asset, kinds in STITCHED.items() if kind_of_span(image.still_id) in kinds)
        row, episode = self.without.row(asset, image.still_id), image.episode
        what = f"{'cut from ' if image.is_crop else ''}a {kind_of_span(image.still_id).replace('_', ' ')}"
        if row is None:
            return self._reason(f"{what} of a shot that was not looked at", self.changes.upstream(asset, episode))
        keys = [(asset, name) for name in STITCHED_KEYS.get(row["reason"], ())]
        causes = self.changes.causes(asset, episode, keys, "alignments")
        if row["verdict"] == KEEP:
            return self._reason(f"{what} that the later steps did not see", causes)
        return self._reason(f"{what} that is {row['verdict']}, {row['reason'].replace('_', ' ')}", causes)

    def _near_duplicate(self, row: Row, episode: str, cut_from: str) -> Reason:
        what, limit = f"{cut_from}a near-duplicate", ("distinct_frames", "similarity")
        if (self.without.row("distinct_frames", row["group"]) or {}).get("reason") == CHOSEN:
            return self._reason(f"{what} of a frame chosen by hand", (), f"({row['group']})")
        changed = self.changes.keys("distinct_frames", episode)
        made = self.other.lineage.made("distinct_frames", episode)
        there = made.settings.get(limit[0], {}).get(limit[1]) if made else None
        # By the other set's limit the two frames are not alike.
        if limit in changed and there is not None and row["similarity"] <= there:
            return self._reason(what, (changed[limit],), f"of {row['group']}")
        return self._reason(what, self.changes.upstream("distinct_frames", episode), f"of {row['group']}")

    def _of_detail(self, image: Image) -> Reason:
        """By its row where there is one; a part that was found under other settings may have none."""
        episode = image.episode
        settings, changed = self._settings("details", episode), self.changes.keys("details", episode)
        if ("details", "enabled") in changed and not settings.get("enabled", True):
            return self._reason("of a set without details", (changed["details", "enabled"],))
        row = self.without.row("details", image.image_id)
        keys = {"small": ["target_px", "bucket_step_px"], "over_limit": ["max_per_still"], "": ["kinds", "target_px"]}
        reason = "" if row is None or row["kept"] else row["reason"]
        causes = self.changes.causes("details", episode, [("details", it) for it in keys.get(reason, keys["small"])])
        detail = f"({row['group']})" if row is not None and reason == "duplicate" else ""
        what = f"a detail that is {reason.replace('_', ' ')}" if reason else "a detail that was not cut out"
        return self._reason(what, causes, detail)

    def _of_crop(self, image: Image) -> Reason:
        episode, kind = image.episode, image.kind
        if is_detail(kind):
            return self._of_detail(image)
        row = self.without.row("crops", image.image_id)
        if row is not None and row["reason"] == REPLACED:
            return self._reason("a crop in whose place another was drawn by hand", ())
        if row is None and (self.other.row("crops", image.image_id) or {}).get("reason") == DRAWN:
            return Reason("no longer drawn by hand" if self.is_gone else "drawn by hand")
        if row is not None and row["reason"] == "small":
            causes = self.changes.causes("crops", episode, [("crops", f"{kind}_min_side_px")])
            return self._reason("too small a crop", causes, f"({min(row['width_px'], row['height_px'])} px)")
        if row is not None and row["reason"] in (NO_HEAD, NO_FACE):
            part = row["reason"].removeprefix("no_")
            causes = self.changes.causes("crops", episode, [("crops", f"require_{part}")])
            return self._reason(f"a person without a {part}", causes)
        if row is not None:
            return self._reason("a crop that the later steps did not see", self.changes.upstream("images", episode))
        settings = self._settings("crops", episode)
        if settings and kind not in settings.get("kinds", [kind]):
            return self._reason(
                "of a kind that is not cropped", self.changes.causes("crops", episode, [("crops", "kinds")])
            )
        score = (self.other.row("crops", image.image_id) or {}).get("score")
        if score is not None and score < settings.get(f"{kind}_min_score", 0.0):
            causes = self.changes.causes("crops", episode, [("crops", f"{kind}_min_score")])
            return self._reason(f"a {kind} not found with enough certainty", causes, f"({score:.3g})")
        return self._reason(f"a {kind} that is not found", self.changes.upstream("crops", episode))

    def _by_rule(self, image: Image, row: Row, rows: Rows) -> Reason:
        reason, episode = row["reason"], image.episode
        if reason == "repeated":
            return self._repeated(image)
        if reason == "crop_fills_still":
            return self._fills_still(image, rows)
        if reason == REJECTED:
            return self._reason("rejected by hand", ())
        rule = RULES.get(reason, Rule(reason.replace("_", " "), (), "selection"))
        detail = f"({row['quality']:.3g})" if reason == "low_quality" and row["quality"] is not None else ""
        settings = self._settings("selection", episode)
        # The value that the other set saw passes this set's limit too: it is the value that changed.
        keys = [key for key in rule.keys if VERDICTS[key](image, settings) is not False]
        causes = self.changes.causes("selection", episode, [("selection", key) for key in keys], rule.measured_by)
        return self._reason(rule.what, causes, detail)

    def _repeated(self, image: Image) -> Reason:
        row = self.without.row("repeated_frames", image.still_id) or {}
        group = row.get("group", "")
        what, detail = "a copy of a better picture in another place", f"({group})" if group else ""
        if group and episode_of(group) in (self.changes.gone + self.changes.came):
            state = "new" if self.is_gone else "gone"
            return self._reason(what, (f"episode {episode_of(group)} is {state}",), detail)
        keys = [("repeated_frames", name) for name in ("similarity", "aligned_similarity")]
        return self._reason(what, self.changes.causes("repeated_frames", image.episode, keys), detail)

    def _fills_still(self, image: Image, rows: Rows) -> Reason:
        what, detail = "a crop that fills its still", f"({image.still_id})"
        keys = self.changes.keys("selection", image.episode)
        if text := keys.get(("selection", "max_crop_share")):
            return self._reason(what, (text,), detail)
        # The still is in this set, and was not in the other: what let it in left the crop out.
        still = self.without.images.get(image.still_id)
        if still is not None and image.still_id not in self.other.images:
            into = Presence(self.other, self.without, self.changes, not self.is_gone)
            return self._reason(what, into.why(still).causes, detail)
        return self._reason(what, self.changes.upstream("selection", image.episode), detail)

    def _not_in_set(self, image: Image) -> Reason:
        if self.without.row("training_set", image.image_id):
            return self._reason("taken out of the folder after it was exported", ())
        over_quota = self.without.over_quota()
        if image.image_id in over_quota:
            is_cut = over_quota[image.image_id] in OF_CUT
            of_cut = self.changes.keys("selection", image.episode)
            found = [text for (_, name), text in of_cut.items() if name in CUT]
            if not is_cut:
                quotas = self.changes.keys("concept_balance", "")
                found += [text for (_, name), text in quotas.items() if name in QUOTAS]
            causes = tuple(found) or self.changes.upstream("concept_balance", "")
            return self._reason("below the cut" if is_cut else "over a quota", causes)
        causes = self.changes.upstream("training_images", image.episode)
        return self._reason("without a picture or a caption", causes)

    def _settings(self, asset: str, episode: str) -> Mapping[str, Any]:
        made = self.without.lineage.made(asset, episode)
        return made.settings.get(asset, {}) if made else {}

    # ------------------------------------------------------------------------------------------------ clips

    def _of_clip(self, image: Image) -> Reason:
        episode, changes = image.episode, self.changes
        settings, changed = self._settings("clips", episode), changes.keys("clips", episode)
        if ("clips", "enabled") in changed and not settings.get("enabled", True):
            return self._reason("of a set without clips", (changed["clips", "enabled"],))
        rows = self.without.tables("clips", episode)
        if rows is None:
            return self._clip_by_settings(image, settings)
        row = rows.get(image.image_id)
        if row is None:
            return self._of_stretch(image, rows)
        by_rule = {
            "held": ("a stretch in which nothing moves", "min_change"),
            "blank": ("a stretch without a picture", "min_contrast"),
        }
        if row["reason"] in by_rule:
            what, key = by_rule[row["reason"]]
            return self._reason(what, changes.causes("clips", episode, [("clips", key)], "shots"))
        if row["reason"] == EXCLUDED:
            return self._reason(f"of {OUT_BY_HAND}", ())
        if row["reason"] == "repeated":
            keys = [("repeated_frames", name) for name in ("similarity", "aligned_similarity")]
            causes = changes.causes("repeated_frames", episode, keys)
            return self._reason("of a shot that another episode has too", causes)
        if row["reason"] == "duplicate":
            of_clips = tuple(text for (section, _), text in changed.items() if section == "clips")
            causes = changes.upstream("repeated_frames", episode) or of_clips
            return self._reason("of a shot that shows what an earlier clip shows", causes)
        if row["reason"] == "undescribed":
            quotas = changes.keys("concept_balance", "")
            causes = changes.upstream("selection", episode)
            causes += tuple(text for (_, key), text in quotas.items() if key in QUOTAS and text not in causes)
            return self._reason("of a shot of which the set has no image", causes)
        return self._reason("a clip without a file or a concept", changes.upstream("training_clips", episode))

    def _of_stretch(self, image: Image, rows: Rows) -> Reason:
        """Of a clip where the set without it looked at other stretches."""
        start_s, end_s = _span_s(image.image_id)
        beside = [row for row in rows.values() if row["start_s"] < end_s and row["end_s"] > start_s]
        of_length = [("clips", name) for name in ("frames", "fps", "margin_s")]
        if any(row["reason"] == "short" for row in beside):
            causes = self.changes.causes("clips", image.episode, of_length, "shots")
            return self._reason("of a shot too short for a clip", causes)
        keys = [*of_length, ("clips", "max_per_shot")]
        causes = self.changes.causes("clips", image.episode, keys, "shots")
        return self._reason("of a shot with clips at other times" if beside else "of a shot that is not there", causes)

    def _clip_by_settings(self, image: Image, settings: Mapping[str, Any]) -> Reason:
        """Without tables: all that changed and decides whether there is a clip; a length that no clip of the set may
        have decides alone."""
        episode, changed = image.episode, self.changes.keys("clips", image.episode)
        start_s, end_s = _span_s(image.image_id)
        of_length = tuple(changed[key] for key in (("clips", "frames"), ("clips", "fps")) if key in changed)
        lengths_s = [(frames - 1) / settings["fps"] for frames in settings.get("frames", ()) if "fps" in settings]
        if of_length and lengths_s and not any(abs(end_s - start_s - it) < 0.0015 for it in lengths_s):
            return self._reason("of a length that no clip has", of_length)
        own = self.changes.own("clips", episode)
        decide = [text for text in own if text not in changed.values()]
        decide += [text for (section, _), text in changed.items() if section == "clips"]
        return Reason("", tuple(dict.fromkeys([*self.changes.upstream("clips", episode, SAID_ONLY), *decide])))

    # ------------------------------------------------------------------------------------------------ by settings

    def _by_settings(self, image: Image) -> Reason:
        """Without tables: which changed setting decides by what the other set says of the image."""
        episode = image.episode
        selection, changed = self._settings("selection", episode), self.changes.keys("selection", episode)
        verdicts = {key: VERDICTS[key](image, selection) for section, key in changed if key in VERDICTS}
        for rule in RULES.values():
            for key in rule.keys:
                if verdicts.get(key):
                    detail = f"({image.quality:.3g})" if key == "min_quality" else ""
                    return self._reason(rule.what, (changed["selection", key],), detail)
        crops = self.changes.keys("crops", episode)
        if (
            image.is_crop
            and not is_detail(image.kind)
            and ("crops", "kinds") in crops
            and image.kind not in self._settings("crops", episode)["kinds"]
        ):
            return self._reason("of a kind that is not cropped", (crops["crops", "kinds"],))
        ruled_out = {changed["selection", key] for key, verdict in verdicts.items() if verdict is False}
        quotas = self.changes.keys("concept_balance", episode)
        possible = [
            *self.changes.upstream("selection", episode, self._without_part(image, selection)),
            *(text for (_, key), text in quotas.items() if key in QUOTAS),
        ]
        return Reason("", tuple(it for it in dict.fromkeys(possible) if it not in ruled_out))

    def _without_part(self, image: Image, selection: Mapping[str, Any]) -> frozenset[str]:
        """Assets that cannot have decided on a still: who and how many are on it matters only where settings ask."""
        if image.is_crop or not selection:
            return frozenset()
        asks_who = bool(selection.get("characters")) or not selection.get("without_characters")
        asks_faces = selection.get("min_faces", 0) > 0 or selection.get("max_faces", -1) >= 0
        crops = {"crops", "details", "crop_embeddings", "character_gallery", "clusters"}
        return frozenset(
            {"tag_scores", *(() if asks_who else crops), *(() if asks_who or asks_faces else ("detections",))}
        )


def _span_s(clip: str) -> tuple[float, float]:
    """When the first and the last frame of a clip are shown, by its id."""
    start_ms, end_ms = clip.rpartition("/")[2].split("-")[1:]
    return int(start_ms) / 1000, int(end_ms) / 1000


# ---------------------------------------------------------------------------------------------------- verdicts


def _kind(image: Image, settings: Mapping[str, Any]) -> bool:
    if not image.is_crop:
        return not settings.get("stills", True)
    return not is_detail(image.kind) and image.kind not in settings.get("crops", [image.kind])


def _quality(image: Image, settings: Mapping[str, Any]) -> bool | None:
    limit = settings.get("min_quality", 0)
    return None if image.quality is None else bool(limit) and image.quality < limit


def _side(image: Image, settings: Mapping[str, Any]) -> bool | None:
    """A training image may have been scaled down, so that one that is too small may come of a larger picture."""
    return False if min(image.width_px, image.height_px) >= settings.get("min_short_side_px", 0) else None


def _nobody(image: Image, settings: Mapping[str, Any]) -> bool:
    as_crop = image.is_crop and not is_detail(image.kind)
    return not image.fields.get("characters") and (as_crop or not settings.get("without_characters", True))


def _not_wanted(image: Image, settings: Mapping[str, Any]) -> bool | None:
    wanted = settings.get("characters") or []
    known = {part for name in image.fields.get("characters", ()) for part in (name, parse_character(name).name)}
    return bool(wanted) and not known & set(wanted)


def _unknown(image: Image, settings: Mapping[str, Any]) -> None:
    """What is counted on the picture is in no manifest."""


# Whether a key of [selection] alone leaves the image out: it does, it does not, or that is not known.
VERDICTS: dict[str, Callable[[Image, Mapping[str, Any]], bool | None]] = {
    "stills": lambda image, settings: not image.is_crop and _kind(image, settings),
    "crops": lambda image, settings: image.is_crop and _kind(image, settings),
    "min_short_side_px": _side,
    "min_quality": _quality,
    "min_faces": _unknown,
    "max_faces": _unknown,
    "face_min_score": _unknown,
    "without_characters": _nobody,
    "characters": _not_wanted,
    "max_crop_share": lambda image, settings: None if image.is_crop else False,
    "text": _unknown,
    "min_share_without_text": _unknown,
}
