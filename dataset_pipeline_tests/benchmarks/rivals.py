"""The pipeline against the way others do the same, on one drawn clip and networks of real size, in one run.

    uv run python dataset_pipeline_tests/benchmarks/rivals.py CACHE [PART ...] [--seconds 20] [--pictures 8]
        [--rounds 3] [--most 16] [--device auto]

tags, boxes, ccip, clip, hyperiqa: each role against the public call of the library that its networks come from, a
picture a call: imgutils' get_wd14_tags, detect_person (and the other kinds), ccip_extract_feature, open_clip's
encode_image, pyiqa's metric. Frames and people are those of the clip, in memory; sides take turns, and the best of each
counts. Answers are compared too.
iframes, mpdecimate: against ffmpeg, by extraction.py, on the clip six times over. matrix: near-duplicates against
scikit-learn's matrix, by near_duplicates.py.

neme: the documented way of neme-anima: all frames decoded, people looked for on every fourth, one picture a call, and
for every character who has references five samples of every person's track decoded and embedded anew. Its tracker, its
cuts and its choice of frames cost nothing here. Against it stand this project's assets that give boxes, identities and
kept frames (no tracks, quality or tags), and, without a floor, all assets but tracks and panoramas: their run with the
demo networks, less what these cost, and networks of real size on the same pictures, timed on `most` of them. Who is on
a frame is known of what was drawn, so that both embed people and not what networks of chance take for some.

Each part runs in a process of its own; without parts all run, and a table of all ratios ends it. It exits with 1 if one
lies below its floor or a part failed; hyperiqa runs on the CPU on either side. CACHE is a folder for the networks of
real_size_pack.py (1.5 GB) and the clip, made unless there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from costs import Cost, timed

from dataset_pipeline.models.device import onnx_device, torch_device

SIZE = (1920, 1080)
CHARACTERS_OF_NEME = 5
SAMPLES_OF_NEME = 5
EVERY_OF_NEME = 4
NEME_PERSON = 0.35
LEAST_PX = 64  # short side of a person that is cut out
TIMES = 6  # that the clip is repeated for ffmpeg
SAME_ROLES = ("embedder", "detector", "identity")  # that the assets below use
# What gives boxes, identities and kept frames: this project's assets before and after the join of characters.
MEASURED = (
    *("video_probe", "shots", "tracks", "alignments", "keyframes", "backdrops", "frame_embeddings", "panoramas"),
    *("distinct_frames", "stitched_embeddings", "stills", "detections", "screen_marks", "text_lines", "burnt_in_text"),
    *("crops", "details", "crop_embeddings", "images", "matched_corrections"),
)
Call = Callable[[], Any]


def best_of(calls: dict[str, Call], rounds: int) -> tuple[dict[str, Any], dict[str, Cost]]:
    """Answers, and the least wall and CPU seconds, of calls that take turns; one of each before loads what it needs."""
    answers = {name: call() for name, call in calls.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            costs[name].append(timed(call)[1])
    return answers, {name: Cost(*(float(it) for it in np.min(some, axis=0))) for name, some in costs.items()}


class Ratio(NamedTuple):
    """How many times what others take this project takes; floor: the least that it may be, 0 without one."""

    what: str
    wall: float
    core: float
    floor: float


def told(what: str, theirs: Cost, ours: Cost, more: str = "", floor: float = 1.0) -> Ratio:
    ratio = Ratio(what, theirs.wall_s / ours.wall_s, theirs.core_s / ours.core_s, floor)
    print(
        f"{what}: theirs {theirs.wall_s:.2f} s ({theirs.core_s:.2f} core-s), ours {ours.wall_s:.2f} s "
        f"({ours.core_s:.2f} core-s): {ratio.wall:.2f} times{more}",
        flush=True,
    )
    return ratio


def clip_of(cache: Path, seconds: float) -> tuple[Path, Any]:
    """The drawn 1080p clip, and what is known of it."""
    from dataset_pipeline.demo.episodes import DEMO_SHOW, write_episode
    from dataset_pipeline.demo.truth import load_truth

    folder = cache / f"clip of {seconds:g} s"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            made = Path(temporary) / "made"
            (made / "show").mkdir(parents=True)
            show = dataclasses.replace(DEMO_SHOW, size=SIZE, scripts=(_script(seconds),))
            write_episode(made / "show", made / "truth", show, 1)
            shutil.move(made, folder)
    [clip] = (folder / "show").iterdir()
    return clip, load_truth(folder / "truth" / f"{clip.stem}.json")


def seen_on(clip: Path, truth: Any, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """As many frames of the clip with people on them, from end to end, and as many people cut out of frames."""
    import cv2

    people = dict(_people(truth))
    chosen = {sorted(people)[place] for place in np.linspace(0, len(people) - 1, count).astype(int).tolist()}
    frames: list[np.ndarray] = []
    crops: list[np.ndarray] = []
    video, number = cv2.VideoCapture(str(clip)), 0
    while len(frames) < len(chosen):
        there, frame = video.read()
        if not there:
            break
        if number in chosen:
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            crops += [np.ascontiguousarray(frames[-1][y0:y1, x0:x1]) for _, (x0, y0, x1, y1) in people[number]]
        number += 1
    return frames, crops[:: max(1, len(crops) // count)][:count]


def _people(truth: Any) -> Iterator[tuple[int, list[tuple[str, tuple[int, int, int, int]]]]]:
    """Each frame with people on it: their names and where they are, left, top, right, bottom."""
    for exposure in truth.exposures:
        found = []
        for person in truth.drawings[exposure.drawing_id].people:
            x0, y0, x1, y1 = (max(0, round(it)) for it in person.person)
            x1, y1 = min(x1, SIZE[0]), min(y1, SIZE[1])
            if min(x1 - x0, y1 - y0) > LEAST_PX:
                found.append((person.character.name, (x0, y0, x1, y1)))
        if found:
            yield from ((number, found) for number in range(exposure.first_frame, exposure.last_frame + 1))


def resources_of(chosen: argparse.Namespace) -> dict[str, Any]:
    from dataset_pipeline.models.injected import model_resources
    from dataset_pipeline.settings import load_settings

    return model_resources(
        load_settings(models__pack="real", models__cache=str(chosen.cache), models__device=chosen.device)
    )


def compare_tags(chosen: argparse.Namespace) -> list[Ratio]:
    from imgutils.tagging import get_wd14_tags
    from PIL import Image

    frames, _ = seen_on(*clip_of(chosen.cache, chosen.seconds), chosen.pictures)
    shown, tagger = [Image.fromarray(it) for it in frames], resources_of(chosen)["tagger"]
    raw, costs = best_of(
        {
            "theirs": lambda: [get_wd14_tags(it, "SwinV2_v3", fmt="prediction") for it in shown],
            "ours": lambda: tagger.tag(frames).scores,
        },
        chosen.rounds,
    )
    off = float(np.abs(np.stack(raw["theirs"]) - raw["ours"]).max())
    what = f"tags of {len(frames)} frames, imgutils.get_wd14_tags"
    return [told(what, costs["theirs"], costs["ours"], f", apart {off:.1e}")]


def compare_boxes(chosen: argparse.Namespace) -> list[Ratio]:
    from imgutils import detect
    from PIL import Image

    from dataset_pipeline.settings import load_settings

    finders = {
        "person": detect.detect_person,
        "halfbody": detect.detect_halfbody,
        "head": detect.detect_heads,
        "face": detect.detect_faces,
        "hand": detect.detect_hands,
    }
    frames, _ = seen_on(*clip_of(chosen.cache, chosen.seconds), chosen.pictures)
    shown, detector = [Image.fromarray(it) for it in frames], resources_of(chosen)["detector"]
    thresholds, ratios = detector.default_thresholds(), []
    for kinds in (["person"], [kind for kind in load_settings().detections.kinds if kind in finders]):
        raw, costs = best_of(
            {
                "theirs": lambda kinds=kinds: [[box for kind in kinds for box in finders[kind](it)] for it in shown],
                "ours": lambda kinds=kinds: detector.detect(frames, kinds),
            },
            chosen.rounds,
        )
        # Of boxes whose scores tie, as those of networks of chance do, another floor lets another one win.
        by_kind = [detector.detect(frames, [kind], thresholds[kind]) for kind in kinds]
        mine = [sorted((box[0], tuple(box[1:5])) for row in rows for box in row) for rows in zip(*by_kind, strict=True)]
        its = [sorted((label, corners) for corners, label, _ in row) for row in raw["theirs"]]
        same = sum(row == other for row, other in zip(mine, its, strict=True))
        more = f", the same on {same} of {len(frames)} ({sum(map(len, mine))} boxes)"
        what = f"boxes ({', '.join(kinds)}) of {len(frames)} frames, imgutils.detect"
        ratios.append(told(what, costs["theirs"], costs["ours"], more))
    return ratios


def compare_ccip(chosen: argparse.Namespace) -> list[Ratio]:
    from imgutils.metrics import ccip_extract_feature
    from PIL import Image

    _, crops = seen_on(*clip_of(chosen.cache, chosen.seconds), chosen.pictures)
    cut, identity = [Image.fromarray(it) for it in crops], resources_of(chosen)["identity"]
    raw, costs = best_of(
        {
            "theirs": lambda: np.stack([ccip_extract_feature(it) for it in cut]),
            "ours": lambda: identity.embed(crops),
        },
        chosen.rounds,
    )
    off = float(np.abs(raw["theirs"] - raw["ours"]).max())
    what = f"CCIP of {len(crops)} crops, ccip_extract_feature"
    return [told(what, costs["theirs"], costs["ours"], f", apart {off:.1e}")]


def compare_clip(chosen: argparse.Namespace) -> list[Ratio]:
    import open_clip
    import torch
    from PIL import Image

    frames, _ = seen_on(*clip_of(chosen.cache, chosen.seconds), chosen.pictures)
    shown, embedder = [Image.fromarray(it) for it in frames], resources_of(chosen)["embedder"]
    pack = embedder.open_pack()
    folder = pack.file(pack.models("embedder")[0], "weights").parent
    place = torch_device(chosen.device).kind
    made: Any = open_clip.create_model_and_transforms(f"local-dir:{folder}", device=place, image_resize_mode="squash")
    model, preprocess = made[0].eval(), made[2]

    def by_open_clip() -> np.ndarray:
        with torch.inference_mode():
            vectors = [model.encode_image(preprocess(it)[None].to(place), normalize=True) for it in shown]
        return torch.cat(vectors).cpu().numpy()

    raw, costs = best_of({"theirs": by_open_clip, "ours": lambda: embedder.embed(frames)}, chosen.rounds)
    off = float(np.abs(raw["theirs"] - raw["ours"]).max())
    what = f"CLIP of {len(frames)} frames, open_clip's encode_image"
    return [told(what, costs["theirs"], costs["ours"], f", apart {off:.1e}")]


def compare_hyperiqa(chosen: argparse.Namespace) -> list[Ratio]:
    import cv2
    import torch

    from dataset_pipeline.models.pyiqa_files import metric_of

    chosen = argparse.Namespace(**vars(chosen) | {"device": "cpu"})
    full, _ = seen_on(*clip_of(chosen.cache, chosen.seconds), min(chosen.pictures, 4))
    frames = [cv2.resize(it, (910, 512), interpolation=cv2.INTER_AREA) for it in full]  # what the role scales them to
    quality = resources_of(chosen)["quality"]
    pack = quality.open_pack()
    [entry] = pack.models("quality")
    weights = pack.file(entry, "weights")
    metric = metric_of(entry, {weights.name: weights}, "cpu")
    shown = [torch.from_numpy(it).permute(2, 0, 1)[None] / 255 for it in frames]
    raw, costs = best_of(
        {"theirs": lambda: np.array([float(metric(it)) for it in shown]), "ours": lambda: quality.score(frames)},
        chosen.rounds,
    )
    off = float(np.abs(raw["theirs"] - raw["ours"]).max())
    what = f"hyperIQA of {len(frames)} frames, pyiqa's metric"
    return [told(what, costs["theirs"], costs["ours"], f", apart {off:.1e}", 2.5)]


def compare_iframes(chosen: argparse.Namespace) -> list[Ratio]:
    floors = {("nearest", "ffmpeg, plain"): 1.0, ("smooth", "ffmpeg, smooth"): 1.0}
    key_frames = {("nearest", "ffmpeg, key frames"): 0.0}  # which leaves some out
    return _against_ffmpeg(chosen, "measure_iframes", floors | key_frames)


def compare_mpdecimate(chosen: argparse.Namespace) -> list[Ratio]:
    return _against_ffmpeg(chosen, "measure_mpdecimate", {("kept frames", "ffmpeg"): 1.0})


def _against_ffmpeg(chosen: argparse.Namespace, measure: str, floors: dict[tuple[str, str], float]) -> list[Ratio]:
    """`floors`: by the names of a way of this project and of another."""
    import extraction

    clip, _ = clip_of(chosen.cache, chosen.seconds)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        costs = getattr(extraction, measure)(extraction.repeated(clip, TIMES, folder), chosen.rounds, folder)
    cost = {name: Cost(it.wall_s, it.cpu_s) for name, it in costs.items()}
    what = measure.removeprefix("measure_")
    return [
        told(f"{what} ({mine}), {other}", cost[other], cost[mine], floor=floor)
        for (mine, other), floor in floors.items()
    ]


def compare_matrix(chosen: argparse.Namespace) -> list[Ratio]:
    from near_duplicates import SIZES, against_matrix

    return [Ratio("near-duplicates, scikit-learn's matrix alone", *against_matrix(SIZES["matrix"], 0.5), 1.0)]


def compare_neme(chosen: argparse.Namespace) -> list[Ratio]:
    clip, truth = clip_of(chosen.cache, chosen.seconds)
    theirs = cost_of_neme(clip, truth)
    with tempfile.TemporaryDirectory() as temporary:
        same, whole = costs_of_ours(clip, Path(temporary), chosen)
    print(f"{truth.frame_count} frames; ours needs no references and finds {len(truth.cast)} people by itself")
    return [
        told("boxes, identities and kept frames, the way of neme-anima", theirs, same, floor=3.0),
        told("the whole pipeline, the way of neme-anima to its own", theirs, whole, floor=0.0),
    ]


def _script(seconds: float) -> str:
    """Shots of about that length, of which half are of one person, as in episodes."""
    shots = ["talk 3.5", "pair 3", "pan 4", "solo 2", "trio 2.5", "walk 2", "talk 3", "group 2"]
    lengths = [float(shot.split()[1]) for shot in shots]
    count = next((n for n in range(1, 100) if sum(lengths[i % len(shots)] for i in range(n)) >= seconds), 100)
    return ", ".join(shots[number % len(shots)] for number in range(count))


def cost_of_neme(clip: Path, truth: Any) -> Cost:
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
    people = dict(_people(truth))
    for shot in truth.shots:
        seen: dict[str, list[tuple[int, tuple[int, int, int, int]]]] = {}
        for number in range(shot.first_frame, shot.last_frame + 1):
            for name, box in people.get(number, ()) if number % EVERY_OF_NEME == 0 else ():
                seen.setdefault(name, []).append((number, box))
        for track in seen.values():
            places = np.linspace(0, len(track) - 1, min(SAMPLES_OF_NEME, len(track))).round().astype(int)
            yield [track[place] for place in dict.fromkeys(places.tolist())]


def costs_of_ours(clip: Path, folder: Path, chosen: argparse.Namespace) -> tuple[Cost, Cost]:
    """The run of the assets with the demo networks, with networks of real size in their place: of those that give what
    neme gives, and of all."""
    from projects import project_at
    from real_size import roles, seen_by_roles

    from dataset_pipeline.graph.declaration import is_joined
    from dataset_pipeline.orchestration.runs import phases

    demo, real = (roles(str(chosen.cache), pack, chosen.device) for pack in ("demo", "real"))
    for _, work in demo.values():
        work([np.zeros((64, 64, 3), np.uint8)])
    changes = {"models__device": chosen.device, "alignments__panoramas": "off", "tracks__mode": "off"}
    with project_at(folder, [clip], **changes) as project:
        store, [episode] = project.store, project.episodes

        def measured() -> None:
            project.make(MEASURED, episode)
            project.make(["reference_embeddings", "repeated_frames", "character_gallery"], None)
            project.make(["clusters"], episode)

        def rest() -> None:
            for phase in phases():
                for joined in (False, True):
                    if assets := [it for it in phase.assets if is_joined(it) == joined]:
                        project.make(assets, None if joined else episode)

        _, same = timed(measured)
        print(f"ours besides the networks: {same.wall_s:.1f} s, with the demo networks", flush=True)
        _, more = timed(rest)
    seen, whole = seen_by_roles(store, episode), _sum(same, more)
    for role, paths in seen.items():
        extra = _extra(demo[role][1], real[role][1], paths, store, chosen.most)
        print(f"ours: {len(paths)} pictures through the {role}, {extra.wall_s:.1f} s more", flush=True)
        whole = _sum(whole, extra)
        if role in SAME_ROLES:
            same = _sum(same, extra)
    return same, whole


def _sum(one: Cost, other: Cost) -> Cost:
    return Cost(one.wall_s + other.wall_s, one.core_s + other.core_s)


def _extra(demo: Any, real: Any, paths: list[str], store: Any, most: int) -> Cost:
    """What networks of real size take more than those of the demo, of all pictures, by at most so many of them."""
    from dataset_pipeline.images.resize import decode

    places = np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)
    pictures = [decode(store.read_picture(paths[place])) for place in places]
    for work in (demo, real):
        work(pictures[:1])
    (_, with_demo), (_, with_real) = (timed(lambda work=work: work(pictures)) for work in (demo, real))
    times = len(paths) / len(pictures)
    return Cost(*((slow - quick) * times for slow, quick in zip(with_real, with_demo, strict=True)))


PARTS: dict[str, Callable[[argparse.Namespace], list[Ratio]]] = {
    "tags": compare_tags,
    "boxes": compare_boxes,
    "ccip": compare_ccip,
    "clip": compare_clip,
    "hyperiqa": compare_hyperiqa,
    "iframes": compare_iframes,
    "mpdecimate": compare_mpdecimate,
    "matrix": compare_matrix,
    "neme": compare_neme,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without one")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the clip")
    parser.add_argument("--pictures", type=int, default=8, help="that each role is compared on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=16, help="pictures that networks of real size are timed on")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--told", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_intermixed_args()
    for name in ("seconds", "pictures", "rounds", "most"):
        if vars(chosen)[name] < 1:
            parser.error(f"--{name} must be at least 1")
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    warnings.simplefilter("ignore")
    if chosen.told:
        ratios = PARTS[chosen.parts[0]](chosen)
        chosen.told.write_text(json.dumps(ratios), "utf-8")
        return
    from real_size_pack import build

    build(chosen.cache)
    clip_of(chosen.cache, chosen.seconds)
    # For imgutils, which would ask each session for CUDA that is not there.
    mode = {} if onnx_device(chosen.device).cuda else {"ONNX_MODE": "cpu"}
    environment = {**os.environ, **mode, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(chosen.cache.absolute() / "hub")}
    options = [f"--{name}={vars(chosen)[name]}" for name in ("seconds", "pictures", "rounds", "most", "device")]
    ratios: list[Ratio] = []
    failed: list[str] = []
    for part in chosen.parts or PARTS:
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "told.json"
            command = [sys.executable, "-W", "ignore", __file__, str(chosen.cache), part, *options, "--told", str(file)]
            if subprocess.run(command, env=environment).returncode:
                failed.append(part)
            else:
                ratios += [Ratio(*it) for it in json.loads(file.read_text("utf-8"))]
    print("\ntimes by the clock, by core-seconds, and the least that the first may be:")
    for ratio in ratios:
        least = f"{ratio.floor:4.1f}" if ratio.floor else "none"
        below = "  BELOW" if ratio.wall < ratio.floor else ""
        print(f"{ratio.wall:7.2f} {ratio.core:7.2f}   {least}  {ratio.what}{below}")
    if failed:
        sys.exit(f"failed, as told above: {', '.join(failed)}")
    sys.exit(any(ratio.wall < ratio.floor for ratio in ratios))


if __name__ == "__main__":
    main()
