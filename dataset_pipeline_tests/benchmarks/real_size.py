"""What a 24-minute 1080p episode costs: networks of real size, and everything besides them.

    uv run python dataset_pipeline_tests/benchmarks/real_size.py CACHE [--clip VIDEO] [--device cuda] [--pictures N]

The first table runs the graph on one 1080p clip (a drawn one, unless another is given) with the demo networks, takes
off what these cost, and scales each asset from what it handled there to EPISODE, but for what a run in which nothing
is due costs. The second runs each role's own resource on networks of the real shapes with random weights, which are
written to the folder CACHE (1.5 GB; see real_size_pack.py): with what a role does to prepare pictures, the FLOP, and
the share of what a large matrix product reaches on the same chip. Core-seconds are CPU time over all threads; on Linux
and macOS only.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from costs import Cost, most_memory_mb, timed
from PIL import Image
from projects import Project, project_at
from real_size_pack import build
from rich.console import Console
from rich.table import Table

from dataset_pipeline.demo.episodes import DEMO_SHOW, write_episode
from dataset_pipeline.graph.declaration import is_joined
from dataset_pipeline.models.device import torch_device
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.settings import load_settings
from dataset_pipeline.store.store import Store

EPISODE = {"frames": 34_560, "candidates": 600, "stills": 350, "crops": 900, "images": 1250}  # 24 minutes
UNITS = {  # what an asset's cost grows with; the rest grows with images
    "video_probe": "",
    "shots": "frames",
    "keyframes": "candidates",
    "frame_embeddings": "candidates",
    "distinct_frames": "stills",
    "stills": "stills",
    "detections": "stills",
    "crops": "crops",
    "crop_embeddings": "crops",
}
SEEN = {"embedder": "candidates", "detector": "stills", "identity": "crops", "quality": "images", "tagger": "images"}
MEASURED_BY = {
    "frame_embeddings": "embedder",
    "detections": "detector",
    "crop_embeddings": "identity",
    "quality_scores": "quality",
    "tag_scores": "tagger",
}
AN_EPISODE = ("wall s an episode", "core-s an episode", "TFLOP an episode")
SIZE = (1920, 1080)
DEMO_PICTURES = 24  # on which the demo networks are timed
CONSOLE = Console(width=120)

Work = Callable[[list[np.ndarray]], Any]


def seen_by_roles(store: Store, episode: str) -> dict[str, list[str]]:
    """Paths of the pictures that each role measured."""
    paths = {asset: store.read(asset, episode)["path"].to_pylist() for asset in ("keyframes", "stills", "images")}
    crops = store.read("crop_embeddings", episode)["image_id"].to_pylist()
    by_id = {row["image_id"]: row["path"] for row in store.read("images", episode).to_pylist()}
    return {
        "embedder": paths["keyframes"],
        "detector": paths["stills"],
        "identity": [by_id[crop] for crop in crops],
        "quality": paths["images"],
        "tagger": paths["images"],
    }


def peak_flop_s(device: str, side: int = 4096) -> float:
    """FLOP a second of a product of two square matrices, the best of three: float16 on a GPU, float32 on a CPU."""
    cuda = device.startswith("cuda")
    matrix = torch.rand(side, side, device=device, dtype=torch.float16 if cuda else torch.float32)

    def product() -> None:
        matrix @ matrix
        if cuda:
            torch.cuda.synchronize()

    product()
    return 2 * side**3 / min(timed(product)[1].wall_s for _ in range(3))


def roles(cache: str, pack: str, device: str) -> dict[str, tuple[Any, Work]]:
    """Each role's resource, and what it does with pictures."""
    settings = load_settings(models__pack=pack, models__cache=cache, models__device=device)
    made, kinds = model_resources(settings), settings.detections.kinds
    return {
        "embedder": (made["embedder"], made["embedder"].embed),
        "detector": (made["detector"], lambda pictures: made["detector"].detect(pictures, kinds)),
        "identity": (made["identity"], made["identity"].embed),
        "quality": (made["quality"], made["quality"].score),
        "tagger": (made["tagger"], made["tagger"].tag),
    }


def cost_of_role(store: Store, paths: list[str], work: Work, count: int) -> Cost:
    """Of one of these pictures, after the model is loaded, by `count` of them."""
    chosen = [paths[place] for place in np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)]
    pictures = [np.asarray(Image.open(io.BytesIO(store.read_picture(path))).convert("RGB")) for path in chosen]
    work(pictures[:1])
    _, cost = timed(lambda: work(pictures))
    return Cost(*(seconds / len(pictures) for seconds in cost))


def show_roles(cache: Path, device: str, count: int, store: Store, seen: dict[str, list[str]]) -> None:
    """Print what the networks of real size cost."""
    flops = build(cache)
    kinds = load_settings().detections.kinds
    chosen = str(torch_device(device))
    peak = peak_flop_s(chosen)
    table = Table("role", "pictures/s", "core-s each", "GFLOP each", "of peak", *AN_EPISODE)
    table.title = f"networks of real size on {chosen}, where a product of matrices reaches {peak / 1e12:.2f} TFLOP/s"
    total = np.zeros(3)
    for role, (model, work) in roles(str(cache), "real", device).items():
        entries = model.open_pack().models(role)
        flop = sum(flops[entry.name].flop for entry in entries if not entry.kind or entry.kind in kinds)
        cost = cost_of_role(store, seen[role], work, count)
        episode = np.array([cost.wall_s, cost.core_s, flop / 1e12]) * EPISODE[SEEN[role]]
        total += episode
        each = (f"{1 / cost.wall_s:.2f}", f"{cost.core_s:.2f}", f"{flop / 1e9:.1f}", f"{flop / cost.wall_s / peak:.0%}")
        table.add_row(role, *each, *(f"{value:,.0f}" for value in episode))
    table.add_row("all", "", "", "", "", *(f"{value:,.0f}" for value in total))
    CONSOLE.print(table)
    CONSOLE.print(f"most memory with these networks: {most_memory_mb():,.0f} MB")


def show_graph(clip: Path, folder: Path) -> tuple[Store, str]:
    """Print what the graph costs besides the networks, from one clip. The store that it filled, and the episode."""
    with project_at(folder, [clip]) as project:
        store, device, [episode] = project.store, project.settings.models.device, project.episodes
        costs = run_graph(project)
        idle = run_graph(project)  # nothing is due: what Dagster and the store cost
    done, seen = handled(store, episode), seen_by_roles(store, episode)
    demo = {
        role: cost_of_role(store, seen[role], work, DEMO_PICTURES).core_s * len(seen[role])
        for role, (_, work) in roles("", "demo", device).items()
    }
    table = Table("asset", "grows with", "here", "core-s here", "ms each", "core-s an episode", "MB an episode")
    table.title = f"besides the networks: {clip.name}, {done['frames']} frames"
    total = np.zeros(3)
    for asset, cost in costs.items():
        unit, role = UNITS.get(asset, "images"), MEASURED_BY.get(asset)
        core_s = max(0.0, cost.core_s - idle[asset].core_s - (demo[role] if role else 0.0))
        times = EPISODE[unit] / max(1, done[unit]) if unit else 1.0
        episode_s = idle[asset].core_s + core_s * times
        size_mb = megabytes(folder / "store" / asset) + (asset == "exported_set") * megabytes(folder / "exports")
        each = (str(done[unit]), f"{1000 * core_s / max(1, done[unit]):.1f}") if unit else ("", "")
        total += np.array([core_s, episode_s, size_mb * times])
        table.add_row(asset, unit, each[0], f"{core_s:.1f}", each[1], f"{episode_s:.1f}", f"{size_mb * times:.1f}")
    table.add_row("all", "", "", f"{total[0]:.1f}", "", f"{total[1]:.0f}", f"{total[2]:.0f}")
    CONSOLE.print(table)
    CONSOLE.print(f"most memory with the demo networks: {most_memory_mb():,.0f} MB")
    return store, episode


def run_graph(project: Project) -> dict[str, Cost]:
    """What each asset costs, each in a run of its own. The models are loaded before."""
    for _, work in roles("", "demo", project.settings.models.device).values():
        work([np.zeros((64, 64, 3), np.uint8)])
    [episode] = project.episodes
    assets = [asset for phase in phases() for asset in phase.assets]
    return {it: timed(partial(project.make, [it], None if is_joined(it) else episode))[1] for it in assets}


def handled(store: Store, episode: str) -> dict[str, int]:
    """How much of each unit the clip gave."""
    rows = {asset: store.read(asset, episode) for asset in ("shots", "keyframes", "stills", "crops", "images")}
    return {
        "frames": sum(rows["shots"]["frames"].to_pylist()),
        "candidates": rows["keyframes"].num_rows,
        "stills": rows["stills"].num_rows,
        "crops": rows["crops"].num_rows,
        "images": rows["images"].num_rows,
    }


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--clip", type=Path, help="A 1080p video; a drawn one of a minute if not given.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pictures", type=int, default=8, help="That each role is timed on.")
    arguments = parser.parse_args()
    if arguments.clip and not arguments.clip.is_file():
        parser.error(f"no such file: {arguments.clip}")
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder, clip = Path(temporary), arguments.clip
        if clip is None:
            (folder / "show").mkdir()
            clip = write_episode(folder / "show", folder / "truth", dataclasses.replace(DEMO_SHOW, size=SIZE), 1)
        store, episode = show_graph(clip, folder)
        show_roles(arguments.cache, arguments.device, arguments.pictures, store, seen_by_roles(store, episode))


if __name__ == "__main__":
    main()
