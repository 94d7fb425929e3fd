"""One road for both kinds of source, a video file and a folder of pictures: rows and pixels out, damage named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataset_pipeline.ids import frame_id, picture_id
from dataset_pipeline.images.pictures import PictureError, list_pictures, open_picture
from dataset_pipeline.settings import KeyframesSettings
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.decode import frames_at
from dataset_pipeline.video.keyframes import Detector, IFrames, Interval, Signals, measure, working_copy
from dataset_pipeline.video.mpdecimate import MpDecimate
from dataset_pipeline.video.probe import probe
from dataset_pipeline.video.shots import Cuts, CutSettings, Shot
from dataset_pipeline.video.stream import DecodeReport, VideoError

FOLDER = "folder"
ANY_CUTS = Cuts()


def probe_source(source: Mapping[str, Any]) -> dict[str, Any]:
    """The `video_probe` row of a `video` row. Raises FileNotFoundError if the source is not where it was registered."""
    path = _present(source)
    row = _probed_pictures(path) if source["kind"] == FOLDER else _probed_video(path)
    return {"episode": source["episode"], **row}


def _present(source: Mapping[str, Any]) -> Path:
    path = Path(source["path"])
    if not path.exists():
        raise FileNotFoundError(
            f"{path}, the source of {source['episode']}, is not there: bring it back, or `run` it at its new place"
        )
    return path


def _probed_video(path: Path) -> dict[str, Any]:
    found = probe(path)
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "readable": found.readable,
        "container": found.container,
        "codec": found.codec,
        "width_px": found.width_px,
        "height_px": found.height_px,
        "display_width_px": found.display_width_px,
        "display_height_px": found.display_height_px,
        "sample_aspect": float(found.sar),
        "rotation_deg": found.rotation_deg,
        "pixel_format": found.pix_fmt,
        "bit_depth": found.bit_depth,
        "color_space": found.color_space,
        "color_primaries": found.color_primaries,
        "color_transfer": found.color_transfer,
        "color_range": found.color_range,
        "frame_rate": found.frame_rate,
        "variable_frame_rate": found.is_vfr,
        "duration_s": found.duration_s,
        "start_s": found.start_pts_s,
        "pictures": None,
        "subtitle_streams": found.subtitle_streams,
        "audio_streams": found.audio_streams,
        "chapters": [{"start_s": c.start_s, "end_s": c.end_s, "title": c.title} for c in found.chapters],
        "damage": list(found.damage),
        "source_sha256": content,
    }


def _probed_pictures(folder: Path) -> dict[str, Any]:
    damage, readable, digest = [], 0, hashlib.sha256()
    for picture in list_pictures(folder):
        digest.update(f"{picture.relative}\0{hashlib.sha256(picture.path.read_bytes()).hexdigest()}\n".encode())
        try:
            open_picture(picture.path)
            readable += 1
        except PictureError as error:
            damage.append(f"{picture.relative}: {error.reason}")
    if not readable:
        damage.append("no picture in the folder can be read")
    return {"readable": readable > 0, "container": FOLDER, "pictures": readable, "damage": damage,
            "source_sha256": digest.hexdigest()}  # fmt: skip


def detector(settings: KeyframesSettings, conversion: Conversion, cuts: CutSettings = ANY_CUTS) -> Detector:
    """What `[keyframes] mode` asks for. `cuts`: how shots are told apart, for `shot`."""
    common: Any = {"short_side_px": settings.working_short_side_px, "conversion": conversion}
    match settings.mode:
        case "iframes":
            return IFrames(**common)
        case "mpdecimate":
            limits = {"hi": settings.hi, "lo": settings.lo, "frac": settings.frac, "max_drop": settings.max_drop}
            return MpDecimate(**limits, **common)
        case "interval":
            return Interval(every_s=settings.every_s, **common)
        case "shot":
            return Shot(frames_per_shot=settings.frames_per_shot, cuts=cuts, **common)
    raise ValueError(f"keyframes.mode = {settings.mode!r}; known: iframes, mpdecimate, interval, shot")


def candidates(
    source: Mapping[str, Any],
    probe_row: Mapping[str, Any],
    settings: KeyframesSettings,
    report: DecodeReport,
    cuts: CutSettings = ANY_CUTS,
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """(row of `keyframes` without path and pixel_sha256, working copy uint8 [h, w, 3] RGB) for each candidate.

    `[keyframes] mode` says which frames those are, `cuts` how shots are told apart where it is `shot`.
    An unreadable source gives none; what breaks off in the middle gives its good part. What was met on the way stands
    in `report`.
    """
    if not probe_row["readable"]:
        return
    path = _present(source)
    if source["kind"] == FOLDER:
        yield from _picture_candidates(path, source["episode"], settings)
        return
    try:
        for found in detector(settings, Conversion.of(probe_row), cuts).candidates(path, report):
            identity = {"image_id": frame_id(source["episode"], found.pts_ms), "pts": found.pts, "pts_s": found.pts_s}
            yield _row(identity, "", found.width_px, found.height_px, found.signals), found.image
    except VideoError as error:
        report.reasons.append(error.reason)


def _picture_candidates(
    folder: Path, episode: str, settings: KeyframesSettings
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    for picture in list_pictures(folder):
        try:
            pixels = open_picture(picture.path, tuple(settings.alpha_background))
        except PictureError:
            continue  # named in video_probe's damage
        height, width = pixels.shape[:2]
        identity = {"image_id": picture_id(episode, picture.relative), "pts": None, "pts_s": None}
        small = working_copy(pixels, settings.working_short_side_px)
        yield _row(identity, picture.relative, width, height, measure(pixels)), small


def _row(identity: dict[str, Any], file: str, width_px: int, height_px: int, signals: Signals) -> dict[str, Any]:
    return {
        **identity,
        "source_file": file,
        "width_px": width_px,
        "height_px": height_px,
        "sharpness": signals.sharpness,
        "brightness": signals.brightness,
        "contrast": signals.contrast,
        "blackness": signals.blackness,
    }


def full_size(
    source: Mapping[str, Any],
    frames: Mapping[str, Mapping[str, Any]],
    settings: KeyframesSettings,
    probe_row: Mapping[str, Any] | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """(image id, full-size pixels) of rows of `keyframes` by id, decoded by exact timestamp.

    With the `video_probe` row that `candidates` was given they are the pictures that the rows were measured on; without
    one they are converted as the file is labelled. A frame that cannot be decoded any more is left out.
    """
    path = _present(source)
    if source["kind"] == FOLDER:
        for image_id, row in frames.items():
            try:
                yield image_id, open_picture(path / row["source_file"], tuple(settings.alpha_background))
            except PictureError:
                continue  # the row becomes `unreadable`
        return
    by_pts = {row["pts"]: image_id for image_id, row in frames.items()}
    try:
        conversion = None if probe_row is None else Conversion.of(probe_row)
        for pts, pixels in frames_at(path, list(by_pts), report=DecodeReport(), conversion=conversion):
            yield by_pts[pts], pixels
    except VideoError:
        return  # rows that were not reached become `unreadable`
