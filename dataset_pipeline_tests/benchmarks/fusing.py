"""Panoramas against Hugin, OpenCV's Stitcher (SCANS) and the temporal median, on the same drawn shots.

    uv run python dataset_pipeline_tests/benchmarks/fusing.py [KIND ...] [--size WxH] [--seed N] [--frames N]
    uv run python dataset_pipeline_tests/benchmarks/fusing.py --memory 1920x1080 [--frames 240]

All kinds by default; a last line says where another is as good as ours. dB are over RGB where each knows the painting,
`known` says how much of its picture that is; times are seconds, on the clock and of the CPU. Ours is from coded frames
to the picture, all of them, as the pipeline does it; the Stitcher gets nine and Hugin (Debian's hugin-tools and
enblend) seven, since more of them take longer and drift farther. A picture of theirs is laid on the painting, at the
best of several scales, by the best affine transform before it is judged. `true places`: fusion alone, from decoded
frames, and what it costs a megapixel of the picture. `--memory`: the peak of a process that aligns, cleans and fuses
one long pan as it is decoded.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from dataset_pipeline.stitching.aligning import align
from dataset_pipeline.stitching.alignment import Alignment, FramesAt, Mosaic
from dataset_pipeline.stitching.cleaning import clean_frames
from dataset_pipeline.stitching.followed import BoxesByPts
from dataset_pipeline.stitching.fusing import fuse
from dataset_pipeline.stitching.placing import cleaned
from dataset_pipeline_tests.stitching.drawn_shots import DrawnShot, draw_shot
from dataset_pipeline_tests.stitching.truth import decibels, painting_under, true_alignment

KINDS = ("pan", "twos", "diagonal", "zoom", "fade", "subtitle", "walker", "sprites", "crowd", "slow", "standing")
SCANS_FRAMES, HUGIN_FRAMES = 9, 7
HUGIN_FOV_DEG = 2  # a camera that turns so little sees a flat painting
HUGIN_TOOLS = ("pto_gen", "cpfind", "cpclean", "pto_var", "autooptimiser", "pano_modify", "nona", "enblend")
ROOM_PX = 60  # by which a picture may stick out of the painting
EDGE_PX = 9  # of a picture, left out
SCALES = (1.0, 0.84, 0.71, 0.59, 0.5, 1.19, 1.41)  # of a picture on the painting
ECC_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-6)


@dataclass(frozen=True)
class Found:
    """A picture's `db` on the painting, or why there is none; `megapixels` of it, and the share that is known."""

    db: float | str
    megapixels: float = 0.0
    known: float = 1.0


def _found(shot: DrawnShot, mosaic: Mosaic) -> Found:
    db = decibels(mosaic.image, painting_under(shot, mosaic), mosaic.known)
    return Found(db, mosaic.known.size / 1e6, float(mosaic.known.mean()))


def ours(shot: DrawnShot) -> Found:
    alignment = align(shot.pts, shot.pts_s, shot.frames_at)
    if isinstance(alignment, str):
        return Found(alignment)
    clean = cleaned(alignment, shot.frames_at, is_plate=not shot.places.any(), boxes=_boxes(shot))
    return _found(shot, fuse(alignment, shot.frames_at, clean))


def _boxes(shot: DrawnShot) -> BoxesByPts | None:
    """Where people are, as tracks tell of a still camera: on each third frame."""
    return None if shot.places.any() else {int(pts): shot.boxes[pts] for pts in shot.pts[::3]}


def fused(shot: DrawnShot) -> Found:
    frames = shot.frames
    return _found(shot, fuse(true_alignment(shot), lambda pts: ((int(at), frames[int(at)]) for at in pts)))


def median(shot: DrawnShot) -> Found:
    if shot.places.any():
        return Found("the camera moves")
    return Found(decibels(np.median(shot.frames[::2], axis=0), shot.canvas))


def scans(shot: DrawnShot) -> Found:
    status, found = cv2.Stitcher.create(cv2.Stitcher_SCANS).stitch(_spread(shot, SCANS_FRAMES))
    if status != cv2.Stitcher_OK:
        return Found(f"status {status}")
    return _on_painting(found[..., ::-1], (found.max(2) > 0).astype(np.uint8), shot)


def hugin(shot: DrawnShot) -> Found:
    if missing := [tool for tool in HUGIN_TOOLS if shutil.which(tool) is None]:
        return Found(f"not installed: {', '.join(missing)}")
    with TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"frame-{number}.png" for number in range(HUGIN_FRAMES)]
        for path, frame in zip(names, _spread(shot, HUGIN_FRAMES), strict=True):
            cv2.imwrite(str(folder / path), frame)
        for command in (
            ["pto_gen", "-p", "0", "-f", str(HUGIN_FOV_DEG), "-o", "all.pto", *names],
            ["cpfind", "--multirow", "-n", "1", "-o", "all.pto", "all.pto"],
            ["cpclean", "-o", "all.pto", "all.pto"],
            ["pto_var", "--opt=y,p,r", "-o", "all.pto", "all.pto"],
            ["autooptimiser", "-n", "-o", "all.pto", "all.pto"],
            ["pano_modify", "--projection=0", "--center", "--fov=AUTO", "--canvas=AUTO", "--crop=AUTO", "-o", "all.pto",
             "all.pto"],
            ["nona", "-m", "TIFF_m", "-o", "laid-", "all.pto"],
            ["enblend", "-o", "whole.tif"],
        ):  # fmt: skip
            laid = sorted(path.name for path in folder.glob("laid-*.tif"))  # none of a frame that is cropped away
            done = subprocess.run([*command, *laid], cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                return Found(f"{command[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1][-60:]}")
        whole = cv2.imread(str(folder / "whole.tif"), cv2.IMREAD_UNCHANGED)
    return _on_painting(whole[..., 2::-1], (whole[..., 3] > 0).astype(np.uint8), shot)


def _spread(shot: DrawnShot, count: int) -> list[np.ndarray]:
    """BGR, spread evenly over the way, or over the time where the camera stands."""
    way = np.abs(np.diff(shot.places[:, :2], axis=0, prepend=shot.places[:1, :2])).sum(1).cumsum()
    share = way / way[-1] if way[-1] else np.linspace(0, 1, len(way))
    numbers = [int(np.abs(share - at).argmin()) for at in np.linspace(0, 1, count)]
    return [np.ascontiguousarray(frame[..., ::-1]) for _, frame in shot.frames_at(shot.pts[numbers])]


def _on_painting(picture: np.ndarray, there: np.ndarray, shot: DrawnShot) -> Found:
    """`there`: uint8 [height, width], 1 where a picture knows anything."""
    there = cv2.erode(cv2.copyMakeBorder(there, 1, 1, 1, 1, cv2.BORDER_CONSTANT), np.ones((EDGE_PX, EDGE_PX), np.uint8))
    picture, there = np.ascontiguousarray(picture), np.ascontiguousarray(there[1:-1, 1:-1])
    painting = cv2.copyMakeBorder(shot.canvas, *(ROOM_PX,) * 4, cv2.BORDER_REPLICATE)
    grey, wanted = (cv2.cvtColor(of, cv2.COLOR_RGB2GRAY) for of in (picture, painting))
    placed = [it for scale in SCALES if (it := _roughly(grey, wanted, scale)) is not None]
    if not placed:
        return Found("larger than the painting")
    _, matrix = min(placed, key=lambda it: it[0])
    try:
        _, matrix = cv2.findTransformECC(grey * there, wanted, matrix, cv2.MOTION_AFFINE, ECC_STOP, None, 5)
    except cv2.error:
        return Found("unlike the painting")
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    truth = cv2.warpAffine(painting, matrix, picture.shape[1::-1], flags=flags)
    return Found(decibels(picture, truth, there > 0), there.size / 1e6, float(there.mean()))


def _roughly(grey: np.ndarray, wanted: np.ndarray, scale: float) -> tuple[float, np.ndarray] | None:
    """How unlike the middle of a picture, so many times as large, is to the painting where it fits best, and the matrix
    [2, 3] from the picture to there; None where it is too large."""
    height, width = grey.shape
    middle = grey[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
    middle = cv2.resize(middle, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if any(one > other for one, other in zip(middle.shape, wanted.shape, strict=True)):
        return None
    unlike, _, (x, y), _ = cv2.minMaxLoc(cv2.matchTemplate(wanted, middle, cv2.TM_SQDIFF_NORMED))
    matrix = np.array([[scale, 0, x - scale * (width // 4)], [0, scale, y - scale * (height // 4)]], np.float32)
    return unlike, matrix


WAYS: dict[str, Callable[[DrawnShot], Found]] = {
    "ours": ours,
    "ours, true places": fused,
    "Hugin": hugin,
    "OpenCV SCANS": scans,
    "temporal median": median,
}


RIVALS = ("Hugin", "OpenCV SCANS", "temporal median")


def _cpu_s() -> float:
    """Of this process and of those that it started and that ended."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def side_by_side(kinds: list[str], size: tuple[int, int], seed: int, frames: int, console: Console) -> None:
    """Prints a table for each kind as soon as it is there."""
    not_better = []
    for kind in kinds:
        shot = draw_shot(kind, size, seed, frames)
        assert len(shot.frames) == frames  # decoded once, for those that are given pictures
        table = Table(title=f"{kind}, {size[0]} x {size[1]}, {frames} frames, seed {seed}")
        for column in ("way", "dB", "known", "s", "CPU-s", "CPU-s a megapixel"):
            table.add_column(column, justify="left" if column == "way" else "right")
        spent = {}
        for name, way in WAYS.items():
            began_s, began_cpu_s = time.perf_counter(), _cpu_s()
            found = way(shot)
            spent_s, spent_cpu_s = time.perf_counter() - began_s, _cpu_s() - began_cpu_s
            told = (f"{found.db:.2f}", f"{found.known:.3f}") if isinstance(found.db, float) else (found.db, "")
            each = f"{spent_cpu_s / found.megapixels:.2f}" if found.megapixels else ""
            table.add_row(name, *told, f"{spent_s:.1f}", f"{spent_cpu_s:.1f}", each)
            spent[name] = found.db, spent_cpu_s
        console.print(table)
        not_better += [f"{kind}: {told}" for told in _not_better(spent)]
    console.print(f"not better: {'; '.join(not_better)}" if not_better else "ours is better on every clip")


def _not_better(spent: Mapping[str, tuple[float | str, float]]) -> list[str]:
    """Who is as good as ours, or as fast and Hugin. spent: dB, or why there are none, and CPU-s, by way."""
    (db, cpu_s), told = spent["ours"], []
    if isinstance(db, str):
        return [f"ours: {db}"]
    for name in RIVALS:
        of_theirs, cpu_s_of_theirs = spent[name]
        if isinstance(of_theirs, float) and of_theirs >= db:
            told.append(f"{name} {of_theirs:.2f} dB")
        if name == "Hugin" and isinstance(of_theirs, float) and cpu_s_of_theirs <= cpu_s:
            told.append(f"{name} {cpu_s_of_theirs:.1f} CPU-s")
    return told


@dataclass(frozen=True)
class Cost:
    """CPU seconds of decoding all frames once, and of each part without decoding; the process's peak in megabytes."""

    decoding_s: float
    aligning_s: float
    cleaning_s: float
    fusing_s: float
    megapixels: float
    peak_mb: float


class _Decoding:
    """Frames of a shot; `spent_s`: the CPU seconds that decoding them has taken so far."""

    def __init__(self, frames_at: FramesAt) -> None:
        self._frames_at, self.spent_s = frames_at, 0.0

    def __call__(self, pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        frames = self._frames_at(pts)
        while True:
            began_s = time.process_time()
            found = next(frames, None)
            self.spent_s += time.process_time() - began_s
            if found is None:
                return
            yield found


def cost_of(shot: DrawnShot) -> Cost:
    cv2.setNumThreads(1)
    frames_at = _Decoding(shot.frames_at)

    def besides_s() -> float:
        return time.process_time() - frames_at.spent_s

    spent = [besides_s()]
    alignment = align(shot.pts, shot.pts_s, frames_at)
    decoding_s = frames_at.spent_s
    spent.append(besides_s())
    assert isinstance(alignment, Alignment), alignment
    clean = clean_frames(alignment, frames_at)
    spent.append(besides_s())
    mosaic = fuse(alignment, frames_at, clean)
    spent.append(besides_s())
    # Not getrusage's: that of a new process begins with its parent's.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return Cost(decoding_s, *np.diff(spent).tolist(), mosaic.known.size / 1e6, int(peak[1]) * 1024 / 1e6)


def memory(size: tuple[int, int], seed: int, frames: int) -> str:
    shot = draw_shot("long", size, seed, frames)
    shot = replace(shot, canvas=shot.canvas[:0], packed=())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        cost = pool.apply(cost_of, (shot,))
    return (
        f"{frames} frames of {size[0]} x {size[1]}, a panorama of {cost.megapixels:.1f} megapixels\n"
        f"CPU-ms a frame: decoding {1000 * cost.decoding_s / frames:.1f}, registration "
        f"{1000 * cost.aligning_s / frames:.1f}, {cost.aligning_s / cost.decoding_s:.1f} times that\n"
        f"CPU-s: cleaning {cost.cleaning_s:.1f}, fusing {cost.fusing_s:.1f}, "
        f"{cost.fusing_s / cost.megapixels:.2f} a megapixel\n"
        f"peak {cost.peak_mb:.0f} MB"
    )


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--size", type=_size, default=(1280, 720))
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--memory", type=_size, metavar="WxH")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if args.memory:
        print(memory(args.memory, args.seed, args.frames or 240))
    else:
        side_by_side(args.kinds, args.size, args.seed, args.frames or 96, Console(width=120))


if __name__ == "__main__":
    main()
