"""The tables of the pipeline: their columns, keys, and what of them downstream assets may rely on.

Units are in the names: `_s` seconds, `_ms` milliseconds, `_px` pixels of the picture the row speaks of, `_share` 0..1.
Box corners are pixels of the still, x to the right and y down, the right and lower edge excluded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

STRING, INT, FLOAT, BOOL, BYTES = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.binary()
STRINGS = pa.list_(STRING)
VECTOR = pa.list_(pa.float32())


@dataclass(frozen=True)
class TableSchema:
    """Columns of one asset's table.

    `key`: rows are unique and sorted by it. `silent`: columns left out of the data version (times, paths, reasons).
    `decimals`: floats are rounded to so many places in the data version. `part`: of a joined table, `show` or
    `episode` if an episode reads only the rows that bear its own in that column; `reader` if an asset does. `alone`:
    columns so large that they are read of one episode at a time, and null where many are read at once.
    """

    name: str
    columns: dict[str, pa.DataType]
    key: tuple[str, ...]
    silent: frozenset[str] = frozenset()
    decimals: int = 4
    part: str = ""
    alone: frozenset[str] = frozenset()

    @property
    def arrow(self) -> pa.Schema:
        return pa.schema([pa.field(name, kind) for name, kind in self.columns.items()])

    def faults(self, stored: pa.Schema) -> list[str]:
        """Why tables written with these columns cannot be read as this schema; columns added since are no reason."""
        found = [f"{name} is not known any more" for name in stored.names if name not in self.columns]
        for name, kind in self.columns.items():
            if name not in stored.names:
                if name in self.key:
                    found.append(f"{name} is part of the key and missing")
            elif (there := stored.field(name).type) != kind:
                found.append(f"{name} is {there}, now {kind}")
        return found

    def empty(self) -> pa.Table:
        return self.arrow.empty_table()

    def table(self, rows: list[dict]) -> pa.Table:
        """Rows of this schema as a table sorted by key. Raises ValueError on unknown columns or a key given twice."""
        for row in rows:
            if unknown := row.keys() - self.columns.keys():
                raise ValueError(f"{self.name} has no column {sorted(unknown)}")
        rows = sorted(rows, key=lambda row: tuple(row[k] for k in self.key))
        for one, other in pairwise(rows):
            if all(one[k] == other[k] for k in self.key):
                raise ValueError(f"{self.name} has two rows for {[one[k] for k in self.key]}")
        return pa.Table.from_pylist(rows, schema=self.arrow)


# A measured row is reused while these four agree.
MEASURED = {"image_id": STRING, "pixel_sha256": STRING, "model_sha256": STRING, "algorithm": STRING}
MEASURED_KEY = tuple(MEASURED)

# What a score of quality means, the same in all rows of a table: see `models.quality.QualityMetric.terms`.
TERMS = {"metric": STRING, "direction": STRING, "short_side_px": INT}
SCORED = {**MEASURED, "score": FLOAT, **TERMS}  # higher is better

OF_A_PICTURE = {"image_id": STRING, "path": STRING, "pixel_sha256": STRING, "width_px": INT, "height_px": INT}

# What a set says beside a caption, as in `captions`.
SAID = {
    **{"people": STRING, "n_people": INT, "show_title": STRING},
    **dict.fromkeys(("series", "artists"), STRINGS),
    **dict.fromkeys(("image_type", "rating", "face_position", "quality_word"), STRING),
    **dict.fromkeys(("activation_tags", "tags"), STRINGS),
    "text": STRING,
    "written": STRING,  # the whole caption, by a person; else empty
}
BOX = {"x0_px": FLOAT, "y0_px": FLOAT, "x1_px": FLOAT, "y1_px": FLOAT}
SCORED_TAG = pa.struct([("tag", STRING), ("category", STRING), ("score", pa.float32())])
DROPPED_TAG = pa.struct([("tag", STRING), ("reason", STRING)])
SEGMENT = pa.struct([("start_s", FLOAT), ("end_s", FLOAT), ("kind", STRING), ("matched", STRINGS), ("found", STRING)])
MATCHED_SEGMENT = pa.struct([("first", INT), ("last", INT), ("offset_s", FLOAT), ("likeness", FLOAT)])
REPEATED_FRAME = pa.struct(
    [("image_id", STRING), ("kept", BOOL), ("group", STRING), ("similarity", FLOAT), ("segment", STRING)]
)
OUTFIT = pa.struct([("outfit", INT), ("exemplar_ids", STRINGS), ("exemplars", pa.list_(VECTOR))])
SCORED_BOX = pa.struct([*BOX.items(), ("score", FLOAT)])
TRACK_SAMPLE = pa.struct(
    [
        ("pts", INT),  # of the stream, in its time base
        ("pts_s", FLOAT),
        ("held_until_s", FLOAT),  # the last time at which the picture is known to be still the same
        *BOX.items(),
        ("score", FLOAT),
        ("head", SCORED_BOX),  # null where none was found
        ("sharpness", FLOAT),  # as in keyframes, of the box alone
        ("thumb", BYTES),  # of the box 64 rows of luma values, one after another; 128 where it shows the place behind
    ]
)
TRACK_VECTOR = pa.struct([("sample", INT), ("kind", STRING), ("embedding", VECTOR)])  # kind: person or head
TRACK = {  # one person over the frames of a shot
    "track_id": STRING,
    "episode": STRING,
    "shot": INT,  # its number
    "start_s": FLOAT,  # the time for which its samples stand, within the shot
    "end_s": FLOAT,
    "width_px": INT,  # of the upright picture that boxes lie in
    "height_px": INT,
    "score": FLOAT,  # of its samples: the mean, and the highest
    "max_score": FLOAT,
    "samples": pa.list_(TRACK_SAMPLE),  # in order of time
    "vectors": pa.list_(TRACK_VECTOR),  # of some of them; `sample` counts from 0
    "detector_sha256": STRING,
    "model_sha256": STRING,  # of the weights that made the vectors
}
LAYER = pa.struct([("ratio", FLOAT), ("share", FLOAT)])  # of what moves otherwise than the camera: `stitching.Layer`
ALIGNED = {  # a shot with its frames on one canvas, as `stitching.Alignment` and `stitching.CleanFrames` say
    "kind": STRING,  # of what may be made of it: panorama, plate
    "start_s": FLOAT,  # of its first and of its last frame
    "end_s": FLOAT,
    "shot_frames": INT,  # how many frames it has, and of how many the place was looked for
    "frames": INT,
    "reason": STRING,  # why they could not be placed; empty if they are, and only then the columns below hold anything
    "width_px": INT,  # of a frame
    "height_px": INT,
    "pts": pa.list_(INT),  # of each frame that is placed
    **dict.fromkeys(("pts_s", "x_px", "y_px", "log_scale", "angle_rad", "gains"), pa.list_(FLOAT)),
    "is_similarity": BOOL,
    "layers": pa.list_(LAYER),
    "fixed": BYTES,  # packed bits, deflated, as the other columns of bytes
    **dict.fromkeys(("agreement", "residual_px", "texture"), FLOAT),
    "block_px": FLOAT,  # this and what follows: null where nothing moves but the camera
    **dict.fromkeys(("left_px", "top_px"), FLOAT),
    "rows": INT,
    "columns": INT,
    "used": pa.list_(INT),
    "clean": BYTES,  # uint64
    "known": BYTES,  # packed bits
    "moving": BYTES,  # uint8, 255 = in all frames
    **dict.fromkeys(("like_frame", "moved"), FLOAT),
    "with_boxes": BOOL,  # whether tracks say where people are
}
STITCHED = {  # what is made of all frames of a shot: a still if the verdict is keep
    "image_id": STRING,
    "episode": STRING,
    "kind": STRING,  # panorama, plate, plate_with_subject
    "start_s": FLOAT,  # of its first and of its last frame
    "end_s": FLOAT,
    "verdict": STRING,  # keep, doubtful: waits for a person, refused
    "reason": STRING,  # kept, or what speaks against it
    "width_px": INT,  # of the picture: a rectangle that is known, or more where that is too little
    "height_px": INT,
    "known_share": FLOAT,  # of all that was seen of the place; where nothing is drawn by blocks, or null
    "shown_share": FLOAT,  # of the largest rectangle that was seen, by one that is known but for next to nothing
    "unknown_share": FLOAT,  # of the picture: what is not known for sure
    "like_frame": FLOAT,  # share of blocks that look like one single frame
    "frames": INT,  # that are placed
    "layers": pa.list_(LAYER),
    "whole_px": pa.list_(INT),  # width and height of all that was seen, and where in it the picture lies: x, y
    "unknown": BYTES,  # a PNG of all that was seen, an eighth as large: 255 where it is not known
    "aligned_sha256": STRING,  # of what it was drawn from
    "path": STRING,
    "pixel_sha256": STRING,
}
# covered_s: of the picture: from when to when frames lie in it whole, one such time after another: from, to, from, to.
PANORAMAS = STITCHED | {"covered_s": pa.list_(FLOAT)}
TEXT_LINE = pa.struct([*BOX.items(), ("score", FLOAT), ("fill", FLOAT), ("contrast", FLOAT)])
TRAIT = pa.struct([("tag", STRING), ("score", pa.float32())])
REFERENCE_VIEW = pa.struct([("kind", STRING), ("embedding", VECTOR)])  # person, head, or picture: nobody was found
FOUND_BOX = pa.struct([("kind", STRING), *BOX.items(), ("score", FLOAT)])

SCHEMAS = {
    schema.name: schema
    for schema in (
        TableSchema(
            "video",
            {
                "episode": STRING,
                "show": STRING,
                "show_title": STRING,
                "episode_title": STRING,
                "kind": STRING,  # video or folder
                "size_bytes": INT,
            },
            key=("episode",),
        ),
        TableSchema("episode_aliases", {"former": STRING, "episode": STRING}, key=("former",)),
        TableSchema(
            "video_probe",
            {
                "episode": STRING,
                "readable": BOOL,
                "container": STRING,
                "codec": STRING,
                "width_px": INT,
                "height_px": INT,
                "display_width_px": INT,
                "display_height_px": INT,
                "sample_aspect": FLOAT,
                "rotation_deg": INT,
                "pixel_format": STRING,
                "bit_depth": INT,
                "color_space": STRING,
                "color_primaries": STRING,
                "color_transfer": STRING,
                "color_range": STRING,
                "used_matrix": STRING,  # used_*: what decoding goes by, tag or guess; color_*: the raw tags
                "used_primaries": STRING,
                "used_transfer": STRING,  # sdr, pq, hlg
                "used_range": STRING,  # tv, pc
                "peak_nits": FLOAT,  # of PQ
                "cadence": STRING,  # progressive, tff, bff, telecined, telecined_bff
                "bar_left_px": INT,  # bar_*: black to cut off the upright picture with square pixels
                "bar_top_px": INT,
                "bar_right_px": INT,
                "bar_bottom_px": INT,
                "frame_rate": FLOAT,
                "variable_frame_rate": BOOL,
                "duration_s": FLOAT,
                "start_s": FLOAT,
                "pictures": INT,  # readable pictures of a folder
                "video_streams": INT,
                "subtitle_streams": INT,
                "audio_streams": INT,
                "chapters": pa.list_(pa.struct([("start_s", FLOAT), ("end_s", FLOAT), ("title", STRING)])),
                "damage": STRINGS,
                "source_sha256": STRING,
            },
            key=("episode",),
        ),
        TableSchema(
            "shots",
            {
                "episode": STRING,
                "number": INT,
                "start_s": FLOAT,
                "end_s": FLOAT,
                "start_pts": INT,
                "frames": INT,
                "transition": STRING,  # how it begins: start, cut, fade
                "motion": STRING,  # of the camera: static, pan, zoom, other
                "direction": STRING,
                "dx_px": FLOAT,  # the camera's whole way, in pixels of the upright picture
                "dy_px": FLOAT,
                "zoom": FLOAT,  # 1 = none
                "confidence": FLOAT,  # in the motion, 0..1
                "fingerprint_pts_s": pa.list_(FLOAT),
                "fingerprints": pa.list_(pa.uint8()),  # 9 x 16 luma values each, one after another
                "frame_pts": pa.list_(INT),  # of each frame, in the stream's time base
                "frame_pts_s": pa.list_(FLOAT),
                "signatures": BYTES,  # of each frame 18 x 32 luma values, one after another: to align two releases
            },
            key=("episode", "number"),
            silent=frozenset({"frame_pts", "frame_pts_s", "signatures"}),
            alone=frozenset({"frame_pts", "frame_pts_s", "signatures"}),
        ),
        TableSchema("tracks", TRACK, key=("track_id",)),
        TableSchema(
            "followed_episodes",  # by what was looked at: what was found once; tracks takes over what fits
            {
                **MEASURED,
                "tracks": pa.list_(pa.struct(list(TRACK.items()))),
                "faults": STRING,
            },  # faults: of the decoder
            key=MEASURED_KEY,
        ),
        TableSchema(
            "keyframes",
            {
                "image_id": STRING,
                "episode": STRING,
                "pts": INT,  # of the stream, in its time base; of a folder's animation, which frame it is
                "pts_s": FLOAT,
                "source_file": STRING,  # path inside a picture folder, posix; empty for video
                "width_px": INT,
                "height_px": INT,
                "sharpness": FLOAT,
                "brightness": FLOAT,
                "contrast": FLOAT,
                "blackness": FLOAT,
                **dict.fromkeys(("combing", "blur", "smear", "ghost", "blockiness", "flat", "text"), FLOAT),  # 0..1
                "path": STRING,  # of the working copy
                "pixel_sha256": STRING,  # of the working copy's pixels
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema("frame_embeddings", {**MEASURED, "embedding": VECTOR}, key=("image_id",)),
        TableSchema(
            "distinct_frames",
            {
                "image_id": STRING,
                "episode": STRING,
                "pts_s": FLOAT,
                "kept": BOOL,
                "group": STRING,  # image_id of the picture that stands for it; itself if kept; empty if blank
                "similarity": FLOAT,  # to the picture of `group`
                "reason": STRING,  # kept, kept_by_hand, chosen_by_hand, duplicate, blank, excluded_by_hand, unreadable
                "width_px": INT,
                "height_px": INT,
                "path": STRING,  # of the full-size picture; empty if dropped
                "pixel_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path", "similarity", "reason"}),
        ),
        TableSchema(
            "alignments",
            {**MEASURED, **ALIGNED},
            key=("image_id",),  # the id of what may be made of it
            alone=frozenset({"fixed", "clean", "known", "moving"}),
        ),
        TableSchema("panoramas", PANORAMAS, key=("image_id",), silent=frozenset({"path", "reason", "unknown"})),
        TableSchema("backdrops", STITCHED, key=("image_id",), silent=frozenset({"path", "reason", "unknown"})),
        TableSchema("stitched_embeddings", {**MEASURED, "embedding": VECTOR}, key=("image_id",)),
        TableSchema(
            "repeated_frames",
            {
                "episode": STRING,
                "show": STRING,
                "segments": pa.list_(SEGMENT),
                "frames": pa.list_(REPEATED_FRAME),
                "made_from": STRING,  # hash of the tables of its show
            },
            key=("episode",),
            silent=frozenset({"made_from"}),
            part="episode",
        ),
        TableSchema(
            "stills",  # every full picture of the episode
            {
                "image_id": STRING,
                "episode": STRING,
                "kind": STRING,  # frame of a video, picture of a folder, panorama, plate, plate_with_subject
                "width_px": INT,
                "height_px": INT,
                "start_s": FLOAT,  # the span of the video that it shows; null for a picture of a folder
                "end_s": FLOAT,
                "source": STRING,  # the asset that wrote the picture
                "path": STRING,
                "pixel_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema("detections_measured", {**MEASURED, "boxes": pa.list_(FOUND_BOX)}, key=MEASURED_KEY),
        TableSchema(
            "detections",
            {"image_id": STRING, "kind": STRING, **BOX, "score": FLOAT, "model_sha256": STRING},
            key=("image_id", "kind", "x0_px", "y0_px", "x1_px", "y1_px"),
        ),
        TableSchema(
            "crops",
            {
                "image_id": STRING,
                "still_id": STRING,
                "still_sha256": STRING,  # pixels it was cut from
                "kind": STRING,
                "x_px": INT,
                "y_px": INT,
                "width_px": INT,
                "height_px": INT,
                "score": FLOAT,  # of the box it was made from
                "still_share": FLOAT,  # its area by that of the still
                "part_of": STRING,  # the crop of the head, half body or person whose part it is; empty if none
                "kept": BOOL,
                "reason": STRING,  # kept, small, no_head, no_face, replaced_by_hand
                "path": STRING,
                "pixel_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path", "reason"}),
        ),
        TableSchema(
            "details",  # square pieces of stills at native size
            {
                "image_id": STRING,
                "still_id": STRING,
                "still_sha256": STRING,  # pixels it was cut from
                "kind": STRING,
                "x_px": INT,
                "y_px": INT,
                "width_px": INT,
                "height_px": INT,
                **BOX,  # what it was made for: a face, a hand; of clothes and objects all of it
                "score": FLOAT,  # of that box; null where it was found by its pixels
                "detail": FLOAT,  # mean of `detail_map` in it, levels
                "still_share": FLOAT,  # its area by that of the still
                "group": STRING,  # the detail that stands for it; itself if none
                "kept": BOOL,
                "reason": STRING,  # kept, or why not: see `plan_details` and `choose`
                "path": STRING,
                "pixel_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path", "reason"}),
        ),
        TableSchema(
            "images",  # every still and every kept crop
            {
                "image_id": STRING,
                "still_id": STRING,  # itself for a still
                "kind": STRING,  # the still's or the crop's
                "x_px": INT,  # where a crop lies in its still
                "y_px": INT,
                "width_px": INT,
                "height_px": INT,
                "still_share": FLOAT,  # a crop's area by that of its still; null for stills
                "start_s": FLOAT,  # as in stills
                "end_s": FLOAT,
                "source": STRING,
                "path": STRING,
                "pixel_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema("crop_embeddings", {**MEASURED, "embedding": VECTOR}, key=("image_id",)),
        TableSchema(
            "reference_pictures",  # by content: what models said of a file once; reference_embeddings names its places
            {**MEASURED, "views": pa.list_(REFERENCE_VIEW), "tags": pa.list_(SCORED_TAG)},
            key=("image_id",),
        ),
        TableSchema(
            "reference_embeddings",
            {
                "file": STRING,  # below the folder, posix
                "name": STRING,  # as typed; empty rejects
                "outfit": STRING,  # the levels below the name, as `CharacterName.stored` writes them; empty if none
                "sha256": STRING,  # of the file
                "views": pa.list_(REFERENCE_VIEW),
                "traits": pa.list_(TRAIT),  # every tag of hair, eyes and body that the tagger knows
                "reason": STRING,  # why a file has neither views nor traits; empty where it has
                "model_sha256": STRING,  # of the identity model
            },
            key=("file",),
        ),
        TableSchema(
            "character_gallery",
            {
                "character": STRING,
                "show": STRING,
                "name": STRING,  # as a person typed it, or references give it; the id for who has none
                "aliases": STRINGS,  # names that it had before, or that its parts have
                "merged": STRINGS,  # ids of characters that a person made part of it
                "reference_names": STRINGS,  # those that references give it
                "corrected": BOOL,  # whether a person had a say in who its members are
                "answers": INT,  # appearances of which a person said that they show it
                "same_ids": STRINGS,  # crops that show it because a person called them the same as others
                "exemplar_ids": STRINGS,
                "exemplars": pa.list_(VECTOR),
                "outfits": pa.list_(OUTFIT),
                "crops": INT,
                "episodes": STRINGS,
                "made_from": STRING,  # hash of the embeddings of its show and of all else that makes its characters
            },
            key=("character", "show"),  # a person may say that somebody is in two shows
            silent=frozenset({"crops", "episodes", "made_from"}),
            part="show",
        ),
        TableSchema(
            "corrections",  # what a person said of the pictures of an episode, as it was said
            {
                "reader": STRING,  # the asset that reads it
                "event": STRING,
                "said": STRING,  # when, UTC
                "do": STRING,
                "value": STRING,  # JSON
            },
            key=("reader", "event"),
            part="reader",
        ),
        TableSchema(
            "matched_corrections",  # the same with the images of today that it speaks of
            {
                "reader": STRING,
                "event": STRING,
                "field": STRING,  # of the event, that names the picture; empty for one that names none
                "number": INT,  # of the picture in it
                "said": STRING,
                "do": STRING,
                "value": STRING,  # JSON, without the pictures
                "image_id": STRING,  # empty if there is no such image
                "how": STRING,  # it was found: by id, pixels, frame or look; or nothing was
            },
            key=("reader", "event", "field", "number"),
            silent=frozenset({"how"}),
            part="reader",
        ),
        TableSchema(
            "clusters",
            {
                "image_id": STRING,
                "still_id": STRING,
                "kind": STRING,  # still or the crop's kind
                "characters": STRINGS,  # ids, sorted; empty = nobody known
                "difference": FLOAT,  # of a crop to the nearest character, null for stills
                "outfit": INT,  # number of the character's outfit, null where none is known
            },
            key=("image_id",),
            silent=frozenset({"difference"}),
        ),
        TableSchema("quality_scores", SCORED, key=("image_id",), silent=frozenset(TERMS)),
        TableSchema("tag_scores", {**MEASURED, "tags": pa.list_(SCORED_TAG)}, key=("image_id",)),
        TableSchema("text_lines", {**MEASURED, "lines": pa.list_(TEXT_LINE)}, key=("image_id",)),
        TableSchema(
            "screen_marks",
            {
                "image_id": STRING,  # of a candidate that bears the mark
                **dict.fromkeys(("x0_share", "y0_share", "x1_share", "y1_share"), FLOAT),  # of its width and height
                "score": FLOAT,  # likeness of the pictures that show it, 0..1
            },
            key=("image_id", "x0_share", "y0_share", "x1_share", "y1_share"),
        ),
        TableSchema(
            "burnt_in_text",
            {
                "image_id": STRING,
                "kind": STRING,  # subtitle, credits, logo, sign
                **BOX,
                "score": FLOAT,
                "found_by": STRING,  # lettering, or staying at its place
                "burnt_in": BOOL,  # whether it counts, by [burnt_in_text] kinds
            },
            key=("image_id", "x0_px", "y0_px", "x1_px", "y1_px"),
            silent=frozenset({"found_by"}),
        ),
        TableSchema(
            "hand_edited_tags",
            {"image_id": STRING, "file": STRING, "tags": STRINGS},  # file: path inside the picture folder, posix
            key=("image_id",),
            silent=frozenset({"file"}),
        ),
        TableSchema(
            "core_tags",
            {
                "show": STRING,
                "character": STRING,  # as in clusters
                "tags": STRINGS,  # by name
                "shares": pa.list_(FLOAT),  # of the images that bear each
                "images": INT,
                "made_from": STRING,  # hash of the tables of its show and of all else that makes its rows
            },
            key=("show", "character"),
            silent=frozenset({"shares", "images", "made_from"}),
            part="show",
        ),
        TableSchema(
            "tags",
            {
                "image_id": STRING,
                "tags": STRINGS,
                "rating": STRING,
                "series": STRINGS,  # tags of the category copyright
                "artists": STRINGS,
                "concepts": STRINGS,  # of [tags] concepts that the image is of
                "activation_tags": STRINGS,
                "hand_edited": BOOL,  # written by a person
                "dropped": pa.list_(DROPPED_TAG),
                "added": pa.list_(DROPPED_TAG),  # tags that the tagger does not say, and why
                "n_people": INT,  # by the counts that are left, else by the boxes; 6 = six and more
                "people_at_least": INT,  # by the boxes; null where nobody looked
                "people_at_most": INT,
            },
            key=("image_id",),
            silent=frozenset({"dropped", "added", "people_at_least", "people_at_most"}),
        ),
        TableSchema(
            "selection",
            {
                "image_id": STRING,
                "still_id": STRING,
                "kind": STRING,
                "selected": BOOL,
                "reason": STRING,  # selected, or why not
                "quality": FLOAT,
                "characters": STRINGS,
                "n_faces": INT,  # on a crop those with their centre within it
                "face_height_share": FLOAT,  # the largest face's height by the image's; 0 without faces
                "n_people": INT,  # as in tags
                "cut_px": pa.list_(INT),  # left, top, right, bottom of what goes in; null if all does
                "by_hand": BOOL,  # whether a person chose it
                "path": STRING,
                "pixel_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path", "reason"}),
        ),
        TableSchema(
            "descriptions",
            {**MEASURED, "text": STRING, "status": STRING},  # status: described, or why not
            key=("image_id",),
            silent=frozenset({"status"}),
        ),
        TableSchema(
            "captions",
            {
                "image_id": STRING,
                "kind": STRING,  # still or the crop's kind
                "people": STRING,  # tags that count people
                "n_people": INT,  # 6 = six and more
                "characters": STRINGS,  # name, name|appearance or name|appearance|outfit
                "show": STRING,  # its title
                "series": STRINGS,
                "artists": STRINGS,
                "image_type": STRING,
                "rating": STRING,
                "face_position": STRING,  # of the only face on a still: left, middle, right; else empty
                "quality_word": STRING,
                "activation_tags": STRINGS,  # of [tags] concepts
                "tags": STRINGS,  # but those that count people
                "text": STRING,
                "written": STRING,  # the whole caption, by a person; else empty
                "caption": STRING,
            },
            key=("image_id",),
        ),
        TableSchema(
            "training_images",
            {
                "image_id": STRING,
                "source_sha256": STRING,  # pixels it was made from
                "cut_px": pa.list_(INT),  # what of them, as in selection
                "path": STRING,
                "width_px": INT,
                "height_px": INT,
                "size_bytes": INT,
                "file_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema(
            "concept_balance",
            {
                "concept": STRING,
                "images": INT,  # those of image_ids that are trained on
                "probability": FLOAT,
                "unlimited_multiply": FLOAT,
                "multiply": FLOAT,
                "image_ids": STRINGS,
                "over_quota": STRINGS,  # selected images that the cut and the quotas leave out
                "over_quota_reasons": STRINGS,  # of each of these, as in `training.score_cut`
            },
            key=("concept",),
            silent=frozenset({"over_quota_reasons"}),
        ),
        TableSchema(
            "multiplies",
            {"image_id": STRING, "concept": STRING, "multiply": FLOAT},
            key=("image_id",),
        ),
        TableSchema(
            "training_set",
            {
                "image_id": STRING,
                "episode": STRING,
                "show": STRING,
                "kind": STRING,
                "characters": STRINGS,
                "concept": STRING,
                "multiply": FLOAT,
                "caption": STRING,
                **SAID,
                "split": STRING,  # train or validation
                "quality": FLOAT,
                "path": STRING,
                "width_px": INT,
                "height_px": INT,
                "file_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema(
            "clips",  # every span of a shot that may be one
            {
                "image_id": STRING,
                "episode": STRING,
                "shot": INT,
                "start_s": FLOAT,  # when the first frame is shown, and when the last one
                "end_s": FLOAT,
                "frames": INT,
                "fps": INT,
                "kept": BOOL,
                "reason": STRING,  # kept, short, blank, held, both_parts, repeated, duplicate, undescribed
                "concept": STRING,  # this and what follows but the split: of kept ones
                "quality": FLOAT,
                "characters": STRINGS,
                "caption": STRING,
                **SAID,
                "split": STRING,  # train or validation; empty if both
            },
            key=("image_id",),
            silent=frozenset({"reason"}),
        ),
        TableSchema(
            "training_clips",
            {
                "image_id": STRING,
                "frames": INT,
                "fps": INT,
                "path": STRING,
                "width_px": INT,
                "height_px": INT,
                "size_bytes": INT,
                "file_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema(
            "exported_set",
            {
                "profile": STRING,
                "pictures": INT,
                "concepts": INT,
                "content_sha256": STRING,
            },
            key=("profile",),
        ),
        TableSchema(
            "native_size",  # of an episode: the height that it was drawn at, as `super_resolution.NativeHeight` says
            {
                "episode": STRING,
                "verdict": STRING,  # native, upscaled, unknown
                "height_px": INT,
                "kernel": STRING,  # of the upscale
                "frame_width_px": INT,  # of the frames that were looked at, with their bars
                "frame_height_px": INT,
                "frames": INT,  # that have enough detail
                **dict.fromkeys(("dip", "z", "share"), FLOAT),
                "heights_px": pa.list_(INT),  # the curve: what each height leaves, mean logarithm
                "curve": pa.list_(FLOAT),
                "looked_at": STRINGS,  # image ids of the candidates
            },
            key=("episode",),
            silent=frozenset({"frames", "dip", "z", "share", "heights_px", "curve", "looked_at"}),
        ),
        TableSchema(
            "release_alignment",  # image_id: the key of the low release; of it what `release_matching.Matching` says
            {
                **MEASURED,
                "episode": STRING,  # the low release
                "high": STRING,
                "speed": FLOAT,
                "matched_share": FLOAT,
                "segments": pa.list_(MATCHED_SEGMENT),
                "missing": pa.list_(pa.struct([("start_s", FLOAT), ("end_s", FLOAT)])),  # from the low release
                "low_pts": pa.list_(INT),  # of each frame of the low release
                "low_s": pa.list_(FLOAT),
                "low_shot": pa.list_(INT),
                "high_pts": pa.list_(INT),  # of the frame that shows the same; null where there is none
                "likeness": pa.list_(FLOAT),
            },
            key=("image_id",),
            part="episode",
        ),
        TableSchema(
            "release_pairs",  # two pictures of each pair
            {
                "image_id": STRING,
                "episode": STRING,  # the low release
                "high": STRING,  # the high release
                "part": STRING,  # high, low
                "of": STRING,  # the high picture of the pair
                "scale": INT,  # of the high picture
                **dict.fromkeys(("low_width_share", "low_height_share"), FLOAT),  # below 1 where the low one is shrunk
                "pts_s": FLOAT,  # of the low frame
                "width_px": INT,
                "height_px": INT,
                "correlation": FLOAT,  # this and what follows: null for low ones
                "differs_share": FLOAT,
                "differs": BYTES,  # packed bits of blocks of 16 low pixels that show something else, row by row
                "differs_columns": INT,
                **dict.fromkeys(("sharpness", "contrast"), FLOAT),  # as in keyframes
                **dict.fromkeys(("combing", "blur", "smear", "ghost", "blockiness", "flat", "text"), FLOAT),
                "path": STRING,
                "pixel_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema(
            "sr_sources",  # every picture that may be tiled
            {
                "image_id": STRING,
                "episode": STRING,
                "kept": BOOL,
                "reason": STRING,  # kept, or one of those in super_resolution/sources.py
                "of": STRING,  # the picture that it duplicates, or the excluded file
                "similarity": FLOAT,  # to that
                "signature": BYTES,  # of the picture, as in sr_tile_signals; empty where it could not be read
                "width_px": INT,
                "height_px": INT,
                "native_px": INT,  # rows that its frame was brought back to; null where it is as it was
                "kernel": STRING,  # of the upscale that was undone
                "path": STRING,  # of the full-size picture; empty if dropped
                "pixel_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path", "reason", "of", "similarity"}),
        ),
        TableSchema(
            "sr_tiles",
            {
                "tile_id": STRING,
                "image_id": STRING,
                "copy": STRING,  # its scale, or shortest_edge
                "copy_width_px": INT,
                "copy_height_px": INT,
                "x_px": INT,  # in the copy
                "y_px": INT,
                "side_px": INT,
                "pixel_sha256": STRING,  # of the whole picture
            },
            key=("tile_id",),
        ),
        TableSchema(
            "sr_tile_signals",  # image_id: the tile's
            {
                **MEASURED,
                **dict.fromkeys(("blockiness", "sharpness", "noise", "banding", "complexity"), FLOAT),
                "signature": BYTES,  # 16 x 16 luma values, one after another
            },
            key=("image_id",),
        ),
        TableSchema("sr_tile_embeddings", {**MEASURED, "embedding": VECTOR}, key=("image_id",)),  # image_id: the tile's
        TableSchema("sr_tile_scores", SCORED, key=("image_id",), silent=frozenset(TERMS)),  # image_id: the tile's
        TableSchema(
            "sr_selection",
            {
                "tile_id": STRING,
                "image_id": STRING,
                "score": FLOAT,
                "selected": BOOL,
                # selected, not_scored, low_score, enough, stratum_full, source_full, repeated, blocky, plain, duplicate
                "reason": STRING,
                "place": INT,  # among those selected, the best is 0
            },
            key=("tile_id",),
            silent=frozenset({"reason"}),
        ),
        TableSchema(
            "sr_sequences",
            {"name": STRING, "sequences": INT, "validation_sequences": INT, "content_sha256": STRING},
            key=("name",),
        ),
        TableSchema(
            "regularization_requests",  # every picture that a class may have
            {
                "image_id": STRING,  # <class>/<8 hex of what is asked for>
                "source": STRING,  # prompts, captions, folder, stills
                "prompt": STRING,
                "negative_prompt": STRING,
                "seed": INT,
                "width_px": INT,  # what is asked for
                "height_px": INT,
                "people": INT,  # how many it must show, null = any
                "caption": STRING,  # what a trainer is told
                "mirrors": STRING,  # the training image whose caption it has, empty without
                "path": STRING,  # of a picture in the store, empty where there is none yet
                "pixel_sha256": STRING,  # of that picture
                "file": STRING,  # of a picture of the user's, from the folder of the class
            },
            key=("image_id",),
            silent=frozenset({"path", "file"}),
        ),
        TableSchema("regularization_pictures", OF_A_PICTURE, key=("image_id",), silent=frozenset({"path"})),
        TableSchema("regularization_scores", SCORED, key=("image_id",), silent=frozenset(TERMS)),
        TableSchema("regularization_detections_measured", {**MEASURED, "boxes": pa.list_(FOUND_BOX)}, key=MEASURED_KEY),
        TableSchema(
            "regularization_detections",
            {"image_id": STRING, "kind": STRING, **BOX, "score": FLOAT, "model_sha256": STRING},
            key=("image_id", "kind", "x0_px", "y0_px", "x1_px", "y1_px"),
        ),
        TableSchema(
            "regularization_points",
            # image_id: of a person, the picture's with their box; points: 133 times x, y and score, in pixels of what
            # of the picture `regularization/points.py` shows of that box
            {**MEASURED, "points": VECTOR},
            key=("image_id",),
        ),
        TableSchema("regularization_tags", {**MEASURED, "tags": pa.list_(SCORED_TAG)}, key=("image_id",)),
        TableSchema("regularization_embeddings", {**MEASURED, "embedding": VECTOR}, key=("image_id",)),
        TableSchema(
            "regularization_judgements",
            {**MEASURED, "text": STRING, "status": STRING},
            key=("image_id",),
            silent=frozenset({"status"}),
        ),
        TableSchema(
            "regularization_selection",
            {
                "image_id": STRING,
                "selected": BOOL,
                "reason": STRING,
                "place": INT,  # among those selected, the best is 0
                "score": FLOAT,
            },
            key=("image_id",),
            silent=frozenset({"reason"}),
        ),
        TableSchema(
            "regularization_repairs",  # versions of a picture of which regions were drawn again
            {
                "image_id": STRING,
                "of": STRING,  # the picture
                "version": INT,
                "path": STRING,
                "pixel_sha256": STRING,
                "width_px": INT,
                "height_px": INT,
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema("regularization_composites", OF_A_PICTURE, key=("image_id",), silent=frozenset({"path"})),
        TableSchema(
            "regularization_set",
            {
                "image_id": STRING,
                "class": STRING,
                "caption": STRING,
                "place": INT,  # among those of its class, the best is 0
                "quality": FLOAT,
                "path": STRING,
                "width_px": INT,
                "height_px": INT,
                "file_sha256": STRING,
            },
            key=("image_id",),
            silent=frozenset({"path"}),
        ),
        TableSchema(
            "sr_set",
            {"name": STRING, "tiles": INT, "validation_tiles": INT, "content_sha256": STRING},
            key=("name",),
        ),
    )
}
