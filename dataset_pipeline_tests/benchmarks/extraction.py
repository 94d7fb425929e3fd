"""Frames of a video: this project against ffmpeg on the same clip, in turn, and its memory by the clip's length.

    uv run python dataset_pipeline_tests/benchmarks/extraction.py [iframes | mpdecimate | memory]
        [--video FILE] [--folder FOLDER] [--rounds 3]

iframes: every intra frame as a PNG file, as the pipeline decodes, converts and encodes pictures, by both ways of
upsampling chroma. ffmpeg finds them by its filter `select`, which decodes all frames; by -skip_frame it decodes key
frames alone (plain), and leaves out intra frames that are none. ffmpeg's plain command repeats chroma samples (nearest)
with rounded tables, so that its pixels may be off by a few levels; told to interpolate (smooth), it must write the
pipeline's pixels. The pipeline's two steps are the ones that it takes in a project: signals and working copies of all
candidates, then all of them again at full size.
mpdecimate: which frames are kept, without writing any; both must keep the same. Beside them stands what decoding takes
both by itself, below which no rule can get: of the clip of rivals.py eight to nine tenths of the time of either.
memory: the asset `keyframes` in a process of its own, for 1 and for 6 times the minute.

Without a file a minute of 1080p60 is drawn and repeated, three times for the first two; FOLDER keeps what is drawn. A
file is taken as it is, and its length for the minute. Times are the best of all rounds, the two sides taking turns,
so that a busy machine slows both; processor time hardly depends on it. Starting Python is not counted. Not for
Windows, which does not tell what a child has used.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import psutil
from av.video.reformatter import Colorspace
from costs import timed
from PIL import Image
from rich.console import Console
from rich.table import Table

from dataset_pipeline.images.resize import encode
from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import candidates, full_size, probe_source
from dataset_pipeline.video.color import ChromaUpsampling, Conversion
from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.keyframes import ahead
from dataset_pipeline.video.mpdecimate import MpDecimate
from dataset_pipeline.video.probe import probe
from dataset_pipeline.video.stream import DecodeReport

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
INTRA = r"select=eq(pict_type\,I)"
SMOOTH = (
    ",scale=in_color_matrix={used_matrix}:in_range={used_range}:out_range=pc"
    ":flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24"
)
SCRIPT = (
    "opening, establish 2, talk 4, pair 3, pan 6, solo 2, talk 4, trio 3, locked 5, focus 2, walk 3, group 3, zoom 4, "
    "whip 2, dark 3, talk 4, pair 2, ending"
)
EPISODE = "bench.e01"

out = Console(width=120, highlight=False)


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds by the clock, seconds of all processors, MiB at its peak, and what it printed."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    said: Any = None


def run(*command: str | Path) -> Cost:
    """What a command costs from its start to its end."""
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as errors:
        start_s = time.perf_counter()
        process = psutil.Popen([*map(str, command)], stdout=printed, stderr=errors)
        peak = [0]
        # What the system calls the peak of a child begins with the memory of the process that started it.
        watch = threading.Thread(target=_watch, args=(process, peak))
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start_s
        watch.join()
        printed.seek(0)
        errors.seek(0)
        said, complaint = printed.read(), errors.read()
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(map(str, command))} ended with {code}\n{complaint}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, peak[0] / 2**20, said)


def _watch(process: psutil.Popen, peak: list[int]) -> None:
    try:
        while True:
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.02)
    except psutil.Error:
        return  # it has ended


def ffmpeg(*arguments: str | Path) -> Cost:
    return run(FFMPEG, "-hide_banner", "-nostdin", "-loglevel", "error", "-y", *arguments)


def ours(work: str, video: Path, folder: Path) -> Cost:
    """A function of `WORK` in a fresh process, which tells its time without that of Python's start."""
    cost = run(sys.executable, "-W", "ignore", __file__, "--work", work, "--video", video, "--folder", folder)
    return Cost(*(told := json.loads(cost.said))[:2], cost.peak_mib, told[2])


def smooth(video: Path, folder: Path) -> int:
    return intra_frames(video, folder, "smooth")


def nearest(video: Path, folder: Path) -> int:
    return intra_frames(video, folder, "nearest")


def intra_frames(video: Path, folder: Path, chroma: ChromaUpsampling) -> int:
    frames = iter_frames(video, intra_only=True, conversion=Conversion(chroma_upsampling=chroma))
    pictures = ahead(lambda frame: (frame.pts, encode(frame.rgb(), "png")), frames)
    return len([(folder / f"{pts:012}.png").write_bytes(data) for pts, data in pictures])


def two_steps(video: Path, folder: Path) -> int:
    source = {"path": str(video), "kind": "video", "episode": EPISODE}
    settings, row = load_settings().keyframes, probe_source(source)
    found = ahead(lambda pair: (pair[0], encode(pair[1], "png")), candidates(source, row, settings, DecodeReport()))
    frames = {}
    for number, (frame, data) in enumerate(found):
        (folder / f"small{number:06}.png").write_bytes(data)
        frames[frame["image_id"]] = frame
    pictures = ahead(lambda pair: encode(pair[1], "png"), full_size(source, frames, row, settings))
    return len([(folder / f"{number:06}.png").write_bytes(data) for number, data in enumerate(pictures)])


def kept_frames(video: Path, folder: Path) -> list[int]:
    return [frame.pts for frame in MpDecimate().chosen(iter_frames(video))]


def decoded(video: Path, folder: Path) -> int:
    return sum(1 for _ in iter_frames(video))


def probe_asset(video: Path, folder: Path) -> int:
    return materialize("video_probe", video, folder)


def keyframes_asset(video: Path, folder: Path) -> int:
    return materialize("keyframes", video, folder)


WORK: dict[str, Callable[[Path, Path], Any]] = {
    work.__name__: work for work in (smooth, nearest, two_steps, kept_frames, decoded, probe_asset, keyframes_asset)
}


def materialize(asset: str, video: Path, folder: Path) -> int:
    """Run an asset in the project at `folder`; how many rows it wrote."""
    from projects import project_at

    with project_at(folder, [video]) as project:
        [episode] = project.episodes
        project.make([asset], episode)
    return project.store.read(asset, episode).num_rows


def draw_minute(path: Path) -> None:
    """A minute of a drawn episode, 1080p60, encoded as libx264 does by itself: key frames at cuts and every 250."""
    from dataset_pipeline.demo.episodes import DEMO_SHOW, draw_episode

    show = replace(DEMO_SHOW, size=(1920, 1080), fps=60, scripts=(SCRIPT,))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=show.fps, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height = show.size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        context.color_range = 1  # limited
        shown = 0
        for _, _, cels in draw_episode(show, 1):
            drawn: dict[Any, av.VideoFrame] = {}
            for cel, held in cels:
                if cel not in drawn:
                    rgb = av.VideoFrame.from_ndarray(cel.image, "rgb24")
                    drawn[cel] = rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
                    drawn[cel].time_base = Fraction(1, show.fps)
                for _ in range(held):
                    drawn[cel].pts, shown = shown, shown + 1
                    container.mux(stream.encode(drawn[cel]))
        container.mux(stream.encode(None))


def repeated(clip: Path, times: int, folder: Path) -> Path:
    """The clip so many times in a row, without encoding anything again."""
    path = folder / f"{clip.stem} x{times}{clip.suffix}"
    if not path.exists():
        ffmpeg("-stream_loop", str(times - 1), "-i", clip, "-map", "0:v:0", "-c", "copy", path)
    return path


def against_ffmpeg(ways: dict[str, Callable[[Path], Cost]], rounds: int, folder: Path) -> dict[str, Cost]:
    """The best of each way; the last round's files stay in a folder of its name."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            files = folder / name
            shutil.rmtree(files, ignore_errors=True)
            files.mkdir()
            costs[name].append(way(files))
    return {
        name: Cost(
            min(cost.wall_s for cost in each),
            min(cost.cpu_s for cost in each),
            max(cost.peak_mib for cost in each),
            each[-1].said,
        )
        for name, each in costs.items()
    }


def show(title: str, costs: dict[str, Cost], measured: str, folder: Path) -> None:
    """A row for each way, with how many times as long it takes as the way `measured`."""
    table = Table("", "s", "times", "processor s", "times", "files", "MB", "peak MiB", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    base = costs[measured]
    for name, cost in costs.items():
        sizes = [file.stat().st_size for file in (folder / name).iterdir()]
        table.add_row(
            name,
            f"{cost.wall_s:.2f}",
            f"{cost.wall_s / base.wall_s:.2f}",
            f"{cost.cpu_s:.2f}",
            f"{cost.cpu_s / base.cpu_s:.2f}",
            str(len(sizes)) if sizes else "",
            f"{sum(sizes) / 1e6:.1f}" if sizes else "",
            f"{cost.peak_mib:.0f}",
        )
    out.print(table)


def measure_iframes(video: Path, rounds: int, folder: Path) -> dict[str, Cost]:
    def extract(filters: str, *options: str) -> Callable[[Path], Cost]:
        return lambda files: ffmpeg(
            *options, "-i", video, "-map", "0:v:0", "-vf", filters, "-fps_mode", "vfr", files / "%06d.png"
        )

    ways: dict[str, Callable[[Path], Cost]] = {
        "nearest": lambda files: ours("nearest", video, files),
        "ffmpeg, plain": extract(INTRA),
        "ffmpeg, key frames": extract(INTRA, "-skip_frame", "nokey"),
        "smooth": lambda files: ours("smooth", video, files),
        "ffmpeg, smooth": extract(INTRA + SMOOTH.format_map(probe(video).row())),
        "the pipeline's two steps": lambda files: ours("two_steps", video, files),
    }
    costs = against_ffmpeg(ways, rounds, folder)
    show(f"intra frames of {video.name} as PNG", costs, "nearest", folder)
    for own, theirs, most in (("nearest", "ffmpeg, plain", 2), ("smooth", "ffmpeg, smooth", 0)):
        first, second = (sorted((folder / name).iterdir()) for name in (own, theirs))
        apart = [*map(mean_difference, first, second)] if len(first) == len(second) else [math.inf]
        if max(apart) > most:
            sys.exit(
                f"{own} and {theirs} have not written the same pictures: at most {max(apart):.2f} of 255 apart in the "
                "mean; of a file that does not say its colour matrix the two assume different ones"
            )
        out.print(f"{own} and {theirs}: {len(first)} pictures, at most {max(apart):.2f} of 255 apart in the mean")
    return costs


def mean_difference(one: Path, other: Path) -> float:
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            return math.inf
        return float(np.abs(np.asarray(first, np.int16) - np.asarray(second, np.int16)).mean())


def measure_mpdecimate(video: Path, rounds: int, folder: Path) -> dict[str, Cost]:
    source = ("-copyts", "-i", video, "-map", "0:v:0")
    discard = ("-fps_mode", "passthrough", "-f", "null", "-")
    ways: dict[str, Callable[[Path], Cost]] = {
        "kept frames": lambda files: ours("kept_frames", video, files),
        "ffmpeg": lambda _: ffmpeg(*source, "-vf", "mpdecimate", *discard),
        "decoding alone": lambda files: ours("decoded", video, files),
        "ffmpeg, decoding alone": lambda _: ffmpeg(*source, *discard),
    }
    costs = against_ffmpeg(ways, rounds, folder)
    show(f"mpdecimate of {video.name}", costs, "kept frames", folder)
    listing = [FFMPEG, "-hide_banner", "-nostdin", *source, "-vf", "mpdecimate,showinfo=checksum=0", *discard]
    log = subprocess.run([*map(str, listing)], capture_output=True, text=True, check=True).stderr
    theirs = [int(pts) for pts in re.findall(r"n: *\d+ pts: *(-?\d+)", log)]
    if costs["kept frames"].said != theirs:
        sys.exit(f"{len(costs['kept frames'].said)} frames kept, {len(theirs)} by ffmpeg")
    out.print(f"{len(theirs)} frames kept, the same by both")
    return costs


def measure_memory(clip: Path, folder: Path) -> None:
    table = Table("", "rows", "s", "peak MiB", title="the asset keyframes")
    for times in (1, 6):
        video, project = repeated(clip, times, folder), folder / f"project{times}"
        project.mkdir()
        ours("probe_asset", video, project)
        cost = ours("keyframes_asset", video, project)
        table.add_row(video.name, str(cost.said), f"{cost.wall_s:.1f}", f"{cost.peak_mib:.0f}")
    out.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["iframes", "mpdecimate", "memory"], help="without it all in turn")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=[*WORK], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.video and not given.video.is_file():
        parser.error(f"no such file: {given.video}")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    if given.work:
        warnings.simplefilter("ignore")
        said, cost = timed(lambda: WORK[given.work](given.video, given.folder))
        print(json.dumps([*cost, said]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clips = given.folder or folder
        clips.mkdir(parents=True, exist_ok=True)
        minute, longer = given.video, given.video
        if minute is None:
            minute = clips / "drawn minute.mp4"
            if not minute.exists():
                out.print("drawing a minute")
                draw_minute(folder / "part.mp4")
                shutil.move(folder / "part.mp4", minute)
            longer = repeated(minute, 3, clips)
        for what in (given.what,) if given.what else ("iframes", "mpdecimate", "memory"):
            place = folder / what
            place.mkdir()
            if what == "iframes":
                measure_iframes(longer, given.rounds, place)
            elif what == "mpdecimate":
                measure_mpdecimate(longer, given.rounds, place)
            else:
                measure_memory(minute, place)


if __name__ == "__main__":
    main()
