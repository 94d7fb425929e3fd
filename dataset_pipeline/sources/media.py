"""One road for both kinds of source, a video file and a folder of pictures: rows and pixels out, damage named."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from dataset_pipeline.base.file_names import posix_path, sha256_of_file
from dataset_pipeline.base.ids import exact_picture_id, frame_id, picture_id
from dataset_pipeline.base.paths import leads_out
from dataset_pipeline.images.defects import as_row
from dataset_pipeline.images.pictures import PictureError, iter_pictures, list_pictures
from dataset_pipeline.settings import KeyframesSettings, TrainingClipsSettings
from dataset_pipeline.sources.passed_over import PassedOver, left_in, summaries
from dataset_pipeline.sources.roots import absence
from dataset_pipeline.sources.shots_look import HANDED_ON, Fingerprints, Looked, ShotsLook, with_fingerprints
from dataset_pipeline.video.clip_files import ClipFile, clip_files
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.cuts import DEFAULT_CUTS, CutSettings
from dataset_pipeline.video.decode import frames_at
from dataset_pipeline.video.keyframes import Detector, IFrames, Interval, Picked, Signals, measure, working_copy
from dataset_pipeline.video.mpdecimate import MpDecimate
from dataset_pipeline.video.probe import probe
from dataset_pipeline.video.shots import CutWatch, Shot, find_shots
from dataset_pipeline.video.stream import DecodeReport, VideoError

FOLDER = "folder"
PAGES = (".tif", ".tiff")  # files of several pictures that are no animation
ANIMATED = (
    "an animation, whose frames are pictures like any other here, without shots and what is made of them: to have it "
    "as a video, save it as MP4 or WebM in a folder of its own"
)


def probe_source(source: Mapping[str, Any]) -> dict[str, Any]:
    """The `video_probe` row of a `video` row. Raises FileNotFoundError if the source is not where it was registered."""
    path = _present(source)
    row = _probed_pictures(path) if source["kind"] == FOLDER else _probed_video(path)
    return {"episode": source["episode"], **row}


def passed_over_in(source: Mapping[str, Any]) -> list[str]:
    """What a folder of pictures holds and is not read, a sentence for each reason; nothing of a video."""
    path = _present(source)
    return summaries(left_in(path), path) if source["kind"] == FOLDER else []


def _present(source: Mapping[str, Any]) -> Path:
    path = Path(source["path"])
    if not path.exists():
        raise FileNotFoundError(absence(source["episode"], source.get("root", ""), str(path)))
    return path


def _probed_video(path: Path) -> dict[str, Any]:
    found = probe(path)
    return {**found.row(), "pictures": None, "source_sha256": sha256_of_file(path)}


def _probed_pictures(folder: Path) -> dict[str, Any]:
    damage, readable, digest = [], 0, hashlib.sha256()
    for picture in list_pictures(folder):
        try:
            content = hashlib.sha256(picture.path.read_bytes()).hexdigest()
            digest.update(f"{posix_path(PurePath(picture.relative))}\0{content}\n".encode())
        except OSError as error:
            damage.append(f"{picture.relative}: cannot be read: {error.strerror or error}")
            continue
        frames, reason = _looked_through(picture.path)
        readable += bool(frames)
        if reason:
            damage.append(f"{picture.relative}: {reason}")
    if not readable:
        damage.append("no picture in the folder can be read")
    return {"readable": readable > 0, "container": FOLDER, "pictures": readable, "damage": damage,
            "source_sha256": digest.hexdigest()}  # fmt: skip


def _looked_through(path: Path) -> tuple[int, str]:
    """How many frames of a picture are good, and what is wrong with it or with the next of them."""
    frames = 0
    try:
        for _ in iter_pictures(path):
            frames += 1
    except (PictureError, OSError) as error:
        reason = error.reason if isinstance(error, PictureError) else f"cannot be read: {error.strerror or error}"
        return frames, f"after {frames} good frames: {reason}" if frames else reason
    return frames, ""


def detector(
    settings: KeyframesSettings,
    conversion: Conversion,
    cuts: CutSettings = DEFAULT_CUTS,
    hardware: str = "none",
    watch: CutWatch | None = None,
    poses: Collection[int] = (),
) -> Detector:
    """What `[keyframes] mode` asks for. `cuts`: how shots are told apart, for `shot`, unless somebody watches. `poses`:
    the pts of the frames for that mode."""
    common: Any = {"short_side_px": settings.working_short_side_px, "conversion": conversion, "hardware": hardware}
    match settings.mode:
        case "iframes":
            return IFrames(**common)
        case "mpdecimate":
            limits = {"hi": settings.hi, "lo": settings.lo, "frac": settings.frac, "max_drop": settings.max_drop}
            return MpDecimate(**limits, **common)
        case "interval":
            return Interval(every_s=settings.every_s, **common)
        case "shot":
            return Shot(frames_per_shot=settings.frames_per_shot, cuts=cuts, watch=watch, **common)
        case "poses":
            return Picked(pts=frozenset(poses), **common)
    raise ValueError(f"keyframes.mode = {settings.mode!r}; known: iframes, mpdecimate, interval, shot, poses")


def candidates(
    source: Mapping[str, Any],
    probe_row: Mapping[str, Any],
    settings: KeyframesSettings,
    report: DecodeReport,
    cuts: CutSettings = DEFAULT_CUTS,
    hardware: str = "none",
    for_shots: bool = False,
    poses: Collection[int] = (),
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """(row of `keyframes` without path and pixel_sha256, working copy uint8 [h, w, 3] RGB) for each candidate.

    `[keyframes] mode` says which frames those are, `cuts` how shots are told apart where it is `shot`. `for_shots`: the
    rows of `shots` are found in the same pass, which a mode that looks at every frame allows, and handed on to
    `shots_of`. `poses`: the pts of the frames for the mode of that name. An unreadable source gives none; what breaks
    off in the middle gives its good part. What was met on the way stands in `report`.
    """
    if not probe_row["readable"]:
        return
    path = _present(source)
    if source["kind"] == FOLDER:
        yield from _picture_candidates(path, source["episode"], settings)
        return
    conversion = Conversion.of(probe_row, settings.chroma_upsampling, settings.alpha_background)
    looked = Looked.at(path, Conversion.of(probe_row), cuts, hardware)
    with closing(ShotsLook(cuts)) if for_shots else nullcontext() as look:
        chosen = detector(settings, conversion, cuts, hardware, look.watch if look else None, poses)
        try:
            for found in chosen.candidates(path, report, look.viewers if look else ()):
                identity = {
                    "image_id": frame_id(source["episode"], found.pts_ms),
                    "pts": found.pts,
                    "pts_s": found.pts_s,
                }
                yield _row(identity, "", found.width_px, found.height_px, found.signals), found.image
            if look:
                HANDED_ON.put(looked, look.rows(), report)
        except VideoError as error:
            report.reasons.append(error.reason)


def _picture_candidates(
    folder: Path, episode: str, settings: KeyframesSettings
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    pictures = list_pictures(folder)
    id_of = _PictureIds(episode, [picture.relative for picture in pictures])
    for picture in pictures:
        try:
            for number, pixels in iter_pictures(picture.path, tuple(settings.alpha_background)):
                height, width = pixels.shape[:2]
                # Of an animation, `pts` says which of its frames this is.
                identity = {"image_id": id_of(picture.relative, number), "pts": number or None, "pts_s": None}
                small = working_copy(pixels, settings.working_short_side_px)
                yield _row(identity, picture.relative, width, height, measure(pixels)), small
        except (PictureError, OSError):
            continue  # named in video_probe's damage


def animations_in(rows: Iterable[Mapping[str, Any]]) -> str:
    """Which files of a folder of pictures move, and what to do about it; empty without any. rows: of `keyframes`."""
    of_later_frames = (Path(row["source_file"]) for row in rows if row["source_file"] and row["pts"] is not None)
    moving = [PassedOver(file, ANIMATED) for file in of_later_frames if file.suffix.lower() not in PAGES]
    return "; ".join(summaries(moving, Path()))


class _PictureIds:
    """Ids of the pictures at `paths`, no two alike.

    Paths that claim one id, as where only their Unicode forms differ, each get their exact one. A frame of an animation
    whose id a file claims (`a.gif#1`) gets its exact one; the file keeps the plain one.
    """

    def __init__(self, episode: str, paths: Sequence[str]) -> None:
        self.episode = episode
        self.claims = Counter(picture_id(episode, path) for path in paths)
        self.of_frames: set[str] = set()

    def __call__(self, path: str, frame: int = 0) -> str:
        if not frame:
            plain = picture_id(self.episode, path)
            return exact_picture_id(self.episode, path) if self.claims[plain] > 1 else plain
        plain = picture_id(self.episode, f"{path}#{frame}")
        taken = self.claims[picture_id(self.episode, path)] > 1 or plain in self.claims or plain in self.of_frames
        found = exact_picture_id(self.episode, path, frame) if taken else plain
        self.of_frames.add(found)
        return found


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
        **as_row(signals.defects),
    }


def full_size(
    source: Mapping[str, Any],
    frames: Mapping[str, Mapping[str, Any]],
    probe_row: Mapping[str, Any],
    settings: KeyframesSettings,
    hardware: str = "none",
    with_bars: bool = False,
) -> Iterator[tuple[str, np.ndarray]]:
    """(image id, full-size pixels) of rows of `keyframes` by id: the pictures that the rows were measured on, decoded
    by exact timestamp. What cannot be decoded any more is left out. `with_bars`: the bars of a video are not cut off.
    """
    path = _present(source)
    if source["kind"] == FOLDER:
        yield from _full_size_pictures(path, frames, settings)
        return
    by_pts = {row["pts"]: image_id for image_id, row in frames.items()}
    conversion = Conversion.of(probe_row, settings.chroma_upsampling, settings.alpha_background)
    if with_bars:
        conversion = replace(conversion, bars_px=(0, 0, 0, 0))
    try:
        for pts, pixels in frames_at(
            path, list(by_pts), report=DecodeReport(), conversion=conversion, hardware=hardware
        ):
            yield by_pts[pts], pixels
    except VideoError:
        return  # rows that were not reached become `unreadable`


def _full_size_pictures(
    folder: Path, frames: Mapping[str, Mapping[str, Any]], settings: KeyframesSettings
) -> Iterator[tuple[str, np.ndarray]]:
    by_file: dict[str, dict[int, str]] = {}
    for image_id, row in frames.items():
        if not leads_out(row["source_file"]):
            by_file.setdefault(row["source_file"], {})[row["pts"] or 0] = image_id
    for file, wanted in by_file.items():
        try:
            for number, pixels in iter_pictures(folder / file, tuple(settings.alpha_background)):
                if number in wanted:
                    yield wanted[number], pixels
        except (PictureError, OSError):
            continue  # its rows become `unreadable`


def frames_of(
    source: Mapping[str, Any],
    pts: Sequence[int],
    probe_row: Mapping[str, Any],
    report: DecodeReport,
    hardware: str = "none",
    conversion: Conversion | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """(pts, full-size pixels) of these frames of a video, ascending, upright and without bars unless `conversion` says
    otherwise, less those that are seen to decode with errors; none of pictures and of what cannot be read. What was met
    on the way stands in `report`."""
    if source["kind"] == FOLDER or not probe_row["readable"] or not pts:
        return
    conversion = conversion or Conversion.of(probe_row)
    try:
        yield from frames_at(
            _present(source), pts, report=report, conversion=conversion, hardware=hardware, sound_only=True
        )
    except VideoError as error:
        report.reasons.append(error.reason)


def shots_of(
    source: Mapping[str, Any],
    probe_row: Mapping[str, Any],
    cuts: CutSettings,
    report: DecodeReport,
    hardware: str = "none",
    whole: bool = False,
) -> list[dict[str, Any]]:
    """Rows of `shots`, each with the fingerprints of its frames; none for pictures and for what cannot be read.

    `whole`, as in `run_pass`, gives the rows that `candidates` hands on, and takes them where they are there.
    """
    if source["kind"] == FOLDER or not probe_row["readable"]:
        return []
    path, conversion = _present(source), Conversion.of(probe_row)
    found = HANDED_ON.take(Looked.at(path, conversion, cuts, hardware)) if whole else None
    if found is not None:
        rows, met = found
        vars(report).update(vars(met))
    else:
        prints = Fingerprints()
        rows = with_fingerprints(find_shots(path, conversion, cuts, report, [prints], hardware, whole), prints)
    return [row | {"episode": source["episode"]} for row in rows]


def clip_files_of(
    source: Mapping[str, Any],
    wanted: Sequence[Mapping[str, Any]],
    probe_row: Mapping[str, Any],
    settings: KeyframesSettings,
    clips: TrainingClipsSettings,
    hardware: str = "none",
) -> Iterator[tuple[str, ClipFile | ValueError]]:
    """(id, file) of rows of `clips`, in the colour of the stills, or why there is none; see `clip_files`."""
    conversion = Conversion.of(probe_row, settings.chroma_upsampling, settings.alpha_background)
    yield from clip_files(_present(source), wanted, conversion, probe_row["frame_rate"], clips, hardware)
