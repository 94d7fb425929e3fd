"""The models as the pipeline calls them against the way others call them, on networks of real size, in one run.

    uv run python dataset_pipeline_tests/benchmarks/rivals.py CACHE [roles | neme] [--pictures 8] [--rounds 3]
        [--seconds 20] [--device auto]

roles: each role against the public call of the library that its networks come from, a picture a call: imgutils'
get_wd14_tags, detect_person (and the other kinds), ccip_extract_feature, pyiqa's metric. Pictures are drawn 1080p
frames and crops of people, in memory; sides take turns, and the best of each counts. Answers are compared too.

neme: the documented way of neme-anima on a drawn 1080p clip: all frames decoded, people looked for on every fourth,
one picture a call, and for every character who has references five samples of every person's track decoded and
embedded anew. Its tracker, its cuts and its choice of frames cost nothing here. Against it stand this project's assets
that give boxes, identities and kept frames (no tracks, quality or tags): their run with the demo networks, less what
these cost, and networks of real size on the same pictures. Who is on a frame is known of what was drawn, so that
both embed people and not what networks of chance take for some.

CACHE is a folder for the networks of real_size_pack.py (1.5 GB), written unless they are there.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SIZE = (1920, 1080)
CHARACTERS_OF_NEME = 5
SAMPLES_OF_NEME = 5
EVERY_OF_NEME = 4
NEME_PERSON = 0.35
# What gives boxes, identities and kept frames: this project's assets before and after the join of characters.
MEASURED = (
    *("video_probe", "shots", "tracks", "alignments", "keyframes", "backdrops", "frame_embeddings", "panoramas"),
    *("distinct_frames", "stitched_embeddings", "stills", "detections", "screen_marks", "text_lines", "burnt_in_text"),
    *("crops", "details", "crop_embeddings", "images", "matched_corrections"),
)
Call = Callable[[], Any]


class Cost(NamedTuple):
    """Wall and CPU seconds."""

    wall_s: float
    core_s: float


def timed(call: Call) -> tuple[Any, Cost]:
    wall_s, core_s = time.perf_counter(), time.process_time()
    answer = call()
    return answer, Cost(time.perf_counter() - wall_s, time.process_time() - core_s)


def best_of(calls: dict[str, Call], rounds: int) -> tuple[dict[str, Any], dict[str, Cost]]:
    """Answers, and the least wall and CPU seconds, of calls that take turns; one of each before loads what it needs."""
    answers = {name: call() for name, call in calls.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            costs[name].append(timed(call)[1])
    return answers, {name: Cost(*(float(it) for it in np.min(some, axis=0))) for name, some in costs.items()}


def told(what: str, theirs: Cost, ours: Cost, more: str = "") -> None:
    print(
        f"{what}: theirs {theirs.wall_s:.2f} s ({theirs.core_s:.2f} core-s), ours {ours.wall_s:.2f} s "
        f"({ours.core_s:.2f} core-s): {theirs.wall_s / ours.wall_s:.2f} times{more}",
        flush=True,
    )


def drawn(count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """As many drawn 1080p frames, and crops of people on them, of the sizes that crops have."""
    from dataset_pipeline.demo.episodes import draw_episode

    frames: list[np.ndarray] = []
    crops: list[np.ndarray] = []
    for _, _, cels in draw_episode(show(), 1):
        seen = list(cels)
        cel = seen[len(seen) // 2][0]
        if cel.people and len(frames) < count:
            frames.append(cel.image)
        for person in cel.people:
            x0, y0, x1, y1 = (round(it) for it in person.person)
            if min(x1 - x0, y1 - y0) > 100 and len(crops) < count:
                crops.append(np.ascontiguousarray(cel.image[y0:y1, x0:x1]))
        if len(frames) == len(crops) == count:
            break
    return frames, crops


def show() -> Any:
    from dataset_pipeline.demo.episodes import DEMO_SHOW

    return dataclasses.replace(DEMO_SHOW, size=SIZE)


def compare_roles(cache: Path, device: str, count: int, rounds: int) -> None:
    """Print each role against its library's public call."""
    from imgutils import detect
    from imgutils.metrics import ccip_extract_feature
    from imgutils.tagging import get_wd14_tags
    from PIL import Image

    from dataset_pipeline.models.injected import model_resources
    from dataset_pipeline.settings import load_settings

    made = model_resources(load_settings(models__pack="real", models__cache=str(cache), models__device=device))
    frames, crops = drawn(count)
    shown, cut = [Image.fromarray(it) for it in frames], [Image.fromarray(it) for it in crops]

    tagger = made["tagger"]
    raw, costs = best_of(
        {
            "theirs": lambda: [get_wd14_tags(it, "SwinV2_v3", fmt="prediction") for it in shown],
            "ours": lambda: tagger.tag(frames),
        },
        rounds,
    )
    off = max(float(np.abs(mine - its).max()) for mine, its in zip(raw["ours"].scores, raw["theirs"], strict=True))
    told(f"tags of {count} frames, imgutils.get_wd14_tags", costs["theirs"], costs["ours"], f", apart {off:.1e}")

    finders = {
        "person": detect.detect_person,
        "halfbody": detect.detect_halfbody,
        "head": detect.detect_heads,
        "face": detect.detect_faces,
        "hand": detect.detect_hands,
    }
    detector, thresholds = made["detector"], made["detector"].default_thresholds()
    kinds = [kind for kind in load_settings().detections.kinds if kind in finders]
    raw, costs = best_of(
        {
            "theirs": lambda: [[box for kind in kinds for box in finders[kind](it)] for it in shown],
            "ours": lambda: detector.detect(frames, kinds),
        },
        rounds,
    )
    mine = [[(box[1:5], box.score) for box in row if box.score > thresholds[box.kind]] for row in raw["ours"]]
    same = sum(
        [it[0] for it in row] == [tuple(it[0]) for it in others]
        for row, others in zip(mine, raw["theirs"], strict=True)
    )
    told(
        f"boxes ({', '.join(kinds)}) of {count} frames, imgutils.detect",
        *(costs["theirs"], costs["ours"], f", the same on {same} of {count} ({sum(map(len, mine))} boxes)"),
    )

    identity = made["identity"]
    raw, costs = best_of(
        {
            "theirs": lambda: np.stack([ccip_extract_feature(it) for it in cut]),
            "ours": lambda: identity.embed(crops),
        },
        rounds,
    )
    off = float(np.abs(raw["theirs"] - raw["ours"]).max())
    told(f"CCIP of {count} crops, ccip_extract_feature", costs["theirs"], costs["ours"], f", apart {off:.1e}")
    print("hyperIQA against pyiqa's own call: quality.py; frames against ffmpeg's: extraction.py; near-duplicates")
    print("against scikit-learn's matrix: near_duplicates.py")


def compare_neme(cache: Path, device: str, seconds: float) -> None:
    """Print the way of neme-anima against the assets that give the same, on one drawn clip."""
    from dataset_pipeline.demo.episodes import write_episode
    from dataset_pipeline.demo.truth import load_truth

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "show").mkdir()
        plan = dataclasses.replace(show(), scripts=(_script(seconds),))
        clip = write_episode(folder / "show", folder / "truth", plan, 1)
        truth = load_truth(folder / "truth" / f"{clip.stem}.json")
        theirs = cost_of_neme(clip, truth, cache, device)
        ours = cost_of_ours(clip, folder, cache, device)
    print(f"{truth.frame_count} frames; ours needs no references and finds {len(truth.cast)} people by itself")
    told("boxes, identities and kept frames, the way of neme-anima", theirs, ours)


def _script(seconds: float) -> str:
    """Shots of about that length, of which half are of one person, as in episodes."""
    shots = ["talk 3.5", "pair 3", "pan 4", "solo 2", "trio 2.5", "walk 2", "talk 3", "group 2"]
    lengths = [float(shot.split()[1]) for shot in shots]
    count = next((n for n in range(1, 100) if sum(lengths[i % len(shots)] for i in range(n)) >= seconds), 100)
    return ", ".join(shots[number % len(shots)] for number in range(count))


def cost_of_neme(clip: Path, truth: Any, cache: Path, device: str) -> Cost:
    """Decoding, its detections one by one, and its samples of every track for every character."""
    import cv2
    from imgutils.detect import detect_person
    from imgutils.metrics import ccip_extract_feature
    from PIL import Image

    samples = list(_samples(truth))

    def frames_at(numbers: list[int]) -> Iterator[np.ndarray]:
        video = cv2.VideoCapture(str(clip))
        for number in numbers:
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
            there, frame = video.read()
            if there:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def scan() -> int:
        video, number, looked = cv2.VideoCapture(str(clip)), 0, 0
        while True:
            there, frame = video.read()
            if not there:
                return looked
            if number % EVERY_OF_NEME == 0:
                picture = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                detect_person(picture, conf_threshold=NEME_PERSON)
                looked += 1
            number += 1

    def identify() -> int:
        embedded = 0
        for _ in range(CHARACTERS_OF_NEME):
            for track in samples:
                numbers, boxes = [number for number, _ in track], [box for _, box in track]
                for frame, (x0, y0, x1, y1) in zip(frames_at(numbers), boxes, strict=False):
                    ccip_extract_feature(Image.fromarray(frame[y0:y1, x0:x1]))
                    embedded += 1
        return embedded

    detect_person(Image.fromarray(np.zeros((*SIZE[::-1], 3), np.uint8)))
    ccip_extract_feature(Image.fromarray(np.zeros((384, 384, 3), np.uint8)))
    looked, first = timed(scan)
    embedded, second = timed(identify)
    print(f"neme: {looked} frames looked at, {len(samples)} tracks, {embedded} crops embedded", flush=True)
    return Cost(first.wall_s + second.wall_s, first.core_s + second.core_s)


def _samples(truth: Any) -> Iterator[list[tuple[int, tuple[int, int, int, int]]]]:
    """For everybody in every shot the frames that neme looks at, and where they are."""
    for shot in truth.shots:
        seen: dict[str, list[tuple[int, tuple[int, int, int, int]]]] = {}
        for exposure in truth.exposures:
            first, last = max(exposure.first_frame, shot.first_frame), min(exposure.last_frame, shot.last_frame)
            for number in range(first, last + 1):
                for person in truth.drawings[exposure.drawing].people if number % EVERY_OF_NEME == 0 else ():
                    x0, y0, x1, y1 = (round(it) for it in person.person)
                    if min(x1 - x0, y1 - y0) > 16:
                        seen.setdefault(person.character.name, []).append((number, (x0, y0, x1, y1)))
        for track in seen.values():
            places = np.linspace(0, len(track) - 1, min(SAMPLES_OF_NEME, len(track))).round().astype(int)
            yield [track[place] for place in dict.fromkeys(places.tolist())]


def cost_of_ours(clip: Path, folder: Path, cache: Path, device: str) -> Cost:
    """The run of the assets with the demo networks, with networks of real size in their place."""
    import dagster as dg
    from real_size import roles, seen_by_roles

    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.images.resize import decode
    from dataset_pipeline.orchestration.registration import register
    from dataset_pipeline.orchestration.runs import materialize_assets
    from dataset_pipeline.settings import load_settings
    from dataset_pipeline.sources.finding import find_sources

    settings = load_settings(
        models__pack="demo", store__root=str(folder / "store"), models__device=device, alignments__panoramas="off"
    )
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}")
    [source] = find_sources([clip]).sources
    store, defs = store_of(settings), build_definitions(settings)
    mine, real = (roles(str(cache), pack, device) for pack in ("demo", "real"))
    for _, work in [*mine.values(), *real.values()]:
        work([np.zeros((64, 64, 3), np.uint8)])
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        register(instance, store, settings, [source])

        steps = [
            (MEASURED, source.key),
            (("reference_embeddings", "repeated_frames", "character_gallery"), None),
            (("clusters",), source.key),
        ]

        def run() -> None:
            for assets, key in steps:
                failures = materialize_assets(defs, instance, settings, list(assets), partition_key=key)
                if failures:
                    raise SystemExit(f"{failures[0].asset}: {failures[0].error}")

        _, whole = timed(run)
    seen = seen_by_roles(store, source.key)
    total = list(whole)
    for role in ("embedder", "detector", "identity"):
        pictures = [decode(store.read_picture(path)) for path in seen[role]]
        _, demo_cost = timed(lambda role=role, pictures=pictures: mine[role][1](pictures))
        _, real_cost = timed(lambda role=role, pictures=pictures: real[role][1](pictures))
        total = [sum_s + real_s - demo_s for sum_s, real_s, demo_s in zip(total, real_cost, demo_cost, strict=True)]
        print(f"ours: {len(pictures)} pictures through the {role}, {real_cost.wall_s:.1f} s", flush=True)
    print(f"ours besides the networks: {whole.wall_s:.1f} s with the demo networks", flush=True)
    return Cost(*total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("part", nargs="?", choices=["roles", "neme"])
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(chosen.cache / "hub")}  # before imgutils is imported
    from real_size_pack import build

    build(chosen.cache)
    if chosen.part != "neme":
        compare_roles(chosen.cache, chosen.device, chosen.pictures, chosen.rounds)
    if chosen.part != "roles":
        compare_neme(chosen.cache, chosen.device, chosen.seconds)


if __name__ == "__main__":
    main()
