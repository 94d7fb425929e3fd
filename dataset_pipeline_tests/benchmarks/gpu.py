"""The networks on a GPU: pictures a second, how busy it is, whether it answers as the CPU does, and what four episodes
take of ten minutes.

    uv run python dataset_pipeline_tests/benchmarks/gpu.py CACHE [--device cuda] [--pictures N] [--compared 4]

CACHE is a folder for the networks of real_size_pack.py (random weights of the real shapes, 1.5 GB, some minutes to
make), written unless they are there. Pictures are drawn 1080p frames in memory, for CCIP people cut out of them, so
that decoding takes no part. Where no CUDA device is, it says so and prints the CPU's figures of few pictures.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from costs import timed
from real_size import CONSOLE, EPISODE, SEEN, SIZE, peak_flop_s, roles
from real_size_pack import build
from rich.table import Table

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.models import detector, identity, tagger
from dataset_pipeline.models.device import Device, DeviceUnavailable, onnx_device, torch_device
from dataset_pipeline.settings import load_settings

EPISODES, AIM_S = 4, 600
# Of one episode besides the networks, as README.md has them: decoding, shots, stills, crops, files; the frames of
# [tracks] and what prepares them.
BESIDES_CORE_S, TRACKS_CORE_S = 490, 300
TRACKS = {"detector": 2800, "identity": 4800}  # looks of an episode; the detector's with two kinds
DRAWN = 16  # frames, shown again and again


def frames_and_people() -> tuple[list[np.ndarray], list[np.ndarray]]:
    scenes = [draw_scene(seed, SIZE, people=1 + seed % 3) for seed in range(DRAWN)]
    people = []
    for scene in scenes:
        for person in scene.people:
            x0, y0, x1, y1 = (round(it) for it in person.person)
            if min(x1 - x0, y1 - y0) > 64:
                people.append(np.ascontiguousarray(scene.image[y0:y1, x0:x1]))
    return [scene.image for scene in scenes], people


def repeated(pictures: list[np.ndarray], count: int) -> Iterator[np.ndarray]:
    return (pictures[place % len(pictures)] for place in range(count))


@contextlib.contextmanager
def busy_shares(device: Device) -> Iterator[list[float]]:
    """How busy the GPU was, 0..1, five times a second; empty without nvidia-smi or without a GPU."""
    shares: list[float] = []
    process = None
    if device.cuda:
        command = ["nvidia-smi", f"--id={device.index}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        with contextlib.suppress(OSError):
            process = subprocess.Popen([*command, "-lms", "200"], stdout=subprocess.PIPE, text=True)

    def read() -> None:
        for line in process.stdout if process and process.stdout else ():
            with contextlib.suppress(ValueError):
                shares.append(float(line) / 100)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield shares
    finally:
        if process:
            process.terminate()
            process.wait()
        reader.join()


def show_rates(cache: Path, device: Device, count: int, people: int) -> dict[str, float]:
    """Print how fast each role is. Pictures a second by role; `detector, tracks` is that of two kinds."""
    flops, kinds = build(cache), load_settings().detections.kinds
    peak = peak_flop_s(str(device))
    table = Table("role", "pictures", "pictures/s", "core-s each", "GFLOP each", "of peak", "GPU busy", "first, s")
    table.title = f"networks of real size on {device}, where a product of matrices reaches {peak / 1e12:.1f} TFLOP/s"
    frames, cut = frames_and_people()
    rates = {}
    made = roles(str(cache), "real", str(device))
    find = made["detector"][0].detect
    works: dict[str, tuple[str, Callable[[Any], Any], tuple[str, ...]]] = {
        **{role: (role, work, tuple(kinds)) for role, (_, work) in made.items()},
        "detector, tracks": ("detector", lambda some: find(some, ("person", "head")), ("person", "head")),
    }
    for name, (role, work, seen_kinds) in works.items():
        entries = made[role][0].open_pack().models(role)
        flop = sum(flops[it.name].flop for it in entries if not it.kind or it.kind in seen_kinds)
        pictures, number = (cut, people) if role == "identity" else (frames, count)
        _, first = timed(partial(work, repeated(pictures, min(number, 16))))
        with busy_shares(device) as shares:
            _, cost = timed(partial(work, repeated(pictures, number)))
        rates[name] = number / cost.wall_s
        busy = f"{np.mean(shares):.0%}" if shares else "unknown"
        share = f"{flop * rates[name] / peak:.0%}"
        each = (f"{rates[name]:.1f}", f"{cost.core_s / number:.3f}", f"{flop / 1e9:.1f}", share, busy)
        table.add_row(name, str(number), *each, f"{first.wall_s:.1f}")
    CONSOLE.print(table)
    return rates


def show_preparation(device: Device) -> None:
    """Print what preparing a picture takes by the libraries and on the device, and whether the bits are the same."""
    import torch

    def by_imgutils_tagging(image: np.ndarray) -> np.ndarray:
        from imgutils.tagging.wd14 import _prepare_image_for_tagging
        from PIL import Image

        return _prepare_image_for_tagging(Image.fromarray(image), 448)[0]

    ways = {
        "detector": (detector.by_imgutils(640), detector.preparation((640, 640))),
        "identity": (identity.by_imgutils(), identity.preparation()),
        "tagger": (by_imgutils_tagging, tagger.wd14_preparation(448)),
    }
    table = Table("preparing 1080p", "by the library, ms", f"on {device}, ms", "the same bits")
    frames, people = frames_and_people()
    pictures = [*frames[:4], *people[:4]]
    for name, (by_library, found) in ways.items():
        if found is None:
            table.add_row(name, "", "", "the library prepares otherwise")
            continue
        ours = found.on(device)
        same = sum(np.array_equal(ours(it).cpu().numpy(), by_library(it)) for it in pictures)

        def on_it(ours: Any = ours) -> None:
            for it in frames:
                ours(it)
            if device.cuda:
                torch.cuda.synchronize()

        times = [timed(work)[1].wall_s for work in (lambda by=by_library: [by(it) for it in frames], on_it)]
        table.add_row(name, *(f"{1000 * wall_s / len(frames):.1f}" for wall_s in times), f"{same} of {len(pictures)}")
    CONSOLE.print(table)


def show_agreement(cache: Path, device: Device, count: int) -> None:
    """Print how far the answers on the device are from those on the CPU."""
    frames, people = frames_and_people()
    answers = []
    for place in (str(device), "cpu"):
        made = roles(str(cache), "real", place).items()
        answers.append({role: work((people if role == "identity" else frames)[:count]) for role, (_, work) in made})
    ours, theirs = answers
    boxes, expected = ([{tuple(box[:5]) for box in row} for row in it["detector"]] for it in answers)
    alike = sum(len(row & other) for row, other in zip(boxes, expected, strict=True))
    print(f"{count} pictures on {device} and on the CPU: {alike} boxes alike", end=" ")
    print(f"of {sum(map(len, boxes))} and {sum(map(len, expected))}")
    for role in ("embedder", "identity"):
        one, other = (it[role] / np.linalg.norm(it[role], axis=1, keepdims=True) for it in answers)
        print(f"{role}: cosine of the two vectors of a picture at least {(one * other).sum(1).min():.6f}")
    print(f"tagger: probabilities apart by at most {np.abs(ours['tagger'].scores - theirs['tagger'].scores).max():.1e}")
    print(f"quality: scores apart by at most {np.abs(ours['quality'] - theirs['quality']).max():.1e}")


def show_budget(rates: dict[str, float]) -> None:
    """Print what four episodes take: the networks one after another, the rest on these cores, nothing side by side."""
    cores, total = usable_cores(), 0.0
    table = Table("", "s", title=f"{EPISODES} episodes of 24 minutes, of {AIM_S} s")
    for role, unit in SEEN.items():
        wall_s = EPISODES * EPISODE[unit] / rates[role]
        total += wall_s
        table.add_row(f"{role}, {EPISODE[unit]} pictures each", f"{wall_s:.0f}")
    for role, count in TRACKS.items():
        wall_s = EPISODES * count / rates.get(f"{role}, tracks", rates[role])
        total += wall_s
        table.add_row(f"{role}, {count} looks of tracks each", f"{wall_s:.0f}")
    for name, core_s in (("besides the networks", BESIDES_CORE_S), ("decoding for tracks", TRACKS_CORE_S)):
        total += EPISODES * core_s / cores
        table.add_row(f"{name}, {core_s} core-s each on {cores} cores", f"{EPISODES * core_s / cores:.0f}")
    table.add_row("all, nothing side by side", f"{total:.0f}")
    CONSOLE.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pictures", type=int, help="that each role is timed on; 512 on a GPU, 4 on a CPU")
    parser.add_argument("--compared", type=int, default=4, help="pictures whose answers are compared with the CPU's")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        device = onnx_device(chosen.device)
        torch_device(chosen.device)
    except DeviceUnavailable as error:
        print(f"no CUDA device here, so these are the CPU's figures: {error}")
        device = Device("cpu")
    start_s = time.perf_counter()
    build(chosen.cache)
    print(f"the networks are there after {time.perf_counter() - start_s:.0f} s", flush=True)
    count = chosen.pictures or (512 if device.cuda else 4)
    show_preparation(device)
    rates = show_rates(chosen.cache, device, count, 2 * count)
    show_agreement(chosen.cache, device, chosen.compared if device.cuda else 1)
    show_budget(rates)
    print(f"{time.perf_counter() - start_s:.0f} s in all")


if __name__ == "__main__":
    main()
