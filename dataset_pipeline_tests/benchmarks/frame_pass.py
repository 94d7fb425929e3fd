"""What looking at every frame costs: the pass of `shots` against decoding alone, by resolution, and its memory.

    uv run python dataset_pipeline_tests/benchmarks/frame_pass.py [--video FILE ...] [--seconds 20] [--rounds 3]

Both sides decode with the same threads, each in a process of its own, in turn; the best of all rounds counts, in CPU
seconds of all threads. Without files drawn shots are encoded at three resolutions, 24 frames a second, plain and with
the grain of a film, which makes decoding dearer and drawn pictures more like those that are on disks and in the air.
For an episode of 24 minutes the last columns say the CPU seconds, and what the table of `shots` would take.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import probe_source, shots_of
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.decode import DecodeReport, iter_frames

EPISODE_FRAMES = 24 * 60 * 24
SCRIPT = "establish 2, talk 4, pan 6, solo 2, walk 3, zoom 4, whip 2, group 3"
HEIGHTS_PX = 720, 1080, 2160
BEFORE = "before there was one pass: 16.6 ms a frame of 1080p for 4.0 ms of decoding alone, 4.2 times"

out = Console(width=120, highlight=False)


def decoding(source: dict[str, Any], probe_row: dict[str, Any]) -> dict[str, float]:
    conversion = Conversion.of(probe_row)
    return {"frames": sum(1 for _ in iter_frames(Path(source["path"]), conversion=conversion))}


def shots(source: dict[str, Any], probe_row: dict[str, Any]) -> dict[str, float]:
    report = DecodeReport()
    rows = shots_of(source, probe_row, load_settings().shots, report)
    spent = time.process_time()
    table, sink = SCHEMAS["shots"].table(rows), io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_statistics=False)
    return {
        "frames": report.frames,
        "shots": len(rows),
        "table_mb": sink.tell() / 1e6,
        "writing_s": time.process_time() - spent,
    }


WORK: dict[str, Callable[[dict[str, Any], dict[str, Any]], dict[str, float]]] = {
    work.__name__: work for work in (decoding, shots)
}


def measured(work: str, video: Path) -> dict[str, float]:
    """One piece of work in a fresh process."""
    command = [sys.executable, "-W", "ignore", __file__, "--work", work, "--video", str(video)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{work} of {video} ended with {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def worked(work: str, video: Path) -> dict[str, float]:
    warnings.simplefilter("ignore")
    source = {"path": str(video), "kind": "video", "episode": "bench.e01"}
    row = probe_source(source)
    pa.array(np.zeros(1))  # pandas is loaded for it once in a process, however many episodes follow
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    told = WORK[work](source, row)
    cpu_s = time.process_time() - cpu_s - told.get("writing_s", 0.0)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return told | {"cpu_s": cpu_s, "wall_s": time.perf_counter() - wall_s, "peak_mib": peak_mib}


def draw(path: Path, height_px: int, seconds: float, grain: float) -> None:
    """Drawn shots as H.264, 24 frames a second; `grain`: standard deviation of the noise on each frame."""
    from dataset_pipeline.demo.episodes import DEMO_SHOW, draw_episode

    show = replace(DEMO_SHOW, size=(height_px * 16 // 9, height_px), fps=24, scripts=(SCRIPT,))
    noise = np.random.default_rng(0).normal(0, grain, (8, *show.size[::-1], 1)).round().astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=show.fps, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *show.size, "yuv420p"
        shown = 0
        for _, _, cels in draw_episode(show, 1):
            for cel, held in cels:
                for _ in range(held):
                    picture = np.clip(cel.image + noise[shown % len(noise)], 0, 255).astype(np.uint8)
                    frame = av.VideoFrame.from_ndarray(picture if grain else cel.image, "rgb24")
                    frame.pts, shown = shown, shown + 1
                    container.mux(stream.encode(frame))
                    if shown >= seconds * show.fps:
                        container.mux(stream.encode(None))
                        return
        container.mux(stream.encode(None))


def show_costs(videos: list[Path], rounds: int) -> None:
    table = Table(title="CPU ms a frame, and what 24 minutes take", caption=BEFORE)
    for name in ("", "Mbit/s", "decoding", "shots", "times", "wall ms", "peak MiB", "24 min s", "table MB"):
        table.add_column(name, justify="left" if not name else "right")
    for video in videos:
        found = {work: [] for work in WORK}
        for _ in range(rounds):
            for work in WORK:
                found[work].append(measured(work, video))
        alone, looked = (min(found[work], key=lambda one: one["cpu_s"]) for work in WORK)
        frames = looked["frames"]
        with av.open(str(video)) as container:
            rate = (container.bit_rate or 0) / 1e6
        table.add_row(
            video.name,
            f"{rate:.1f}",
            f"{alone['cpu_s'] / frames * 1e3:.2f}",
            f"{looked['cpu_s'] / frames * 1e3:.2f}",
            f"{looked['cpu_s'] / alone['cpu_s']:.2f}",
            f"{looked['wall_s'] / frames * 1e3:.2f}",
            f"{looked['peak_mib']:.0f} ({alone['peak_mib']:.0f} alone)",
            f"{looked['cpu_s'] / frames * EPISODE_FRAMES:.0f}",
            f"{looked['table_mb'] / frames * EPISODE_FRAMES:.1f}",
        )
    out.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, nargs="+", default=[])
    parser.add_argument("--seconds", type=float, default=20.0, help="of what is drawn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=[*WORK], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(worked(given.work, given.video[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        videos = given.video
        for height_px in HEIGHTS_PX if not videos else ():
            for name, grain in (("plain", 0.0), ("grain", 3.0)):
                path = Path(folder) / f"drawn {height_px}p {name}.mp4"
                out.print(f"drawing {path.name}")
                draw(path, height_px, given.seconds, grain)
                videos = [*videos, path]
        show_costs(videos, given.rounds)


if __name__ == "__main__":
    main()
