"""Clips of the drawn show: never over a cut, the opening once, in the colours of the stills, as trainers read them."""

from __future__ import annotations

import json
import math
import shutil
import tomllib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import dagster as dg
import numpy as np
import pytest

from dataset_pipeline.base.ids import pts_ms_of
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.demo.truth import EpisodeTruth
from dataset_pipeline.graph.project import partitions_name
from dataset_pipeline.orchestration.runs import RANGE_END_TAG, RANGE_START_TAG, materialize_assets
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.training.exporters.remake import recaption
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline_tests.scenarios.conftest import DrawnShow, Project

FPS = 16
CLIPS = {"clips__enabled": True, "clips__frames": [5, 9, 17], "clips__fps": FPS, "exported_set__profile": "musubi"}


@dataclass
class Clipped:
    """The drawn show with clips, exported for musubi-tuner."""

    project: Project
    folder: Path
    rows: dict[str, dict]  # of `clips`, by id
    files: dict[str, dict]  # of `training_clips`, by id

    @property
    def kept(self) -> dict[str, dict]:
        return {image_id: row for image_id, row in self.rows.items() if row["kept"]}


@pytest.fixture(scope="module")
def clipped(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Clipped:
    root = tmp_path_factory.mktemp("clipped") / "project"
    shutil.copytree(finished.root, root)
    project = Project(root)
    make_clips(project)
    rows, files = ({row["image_id"]: row for row in project.rows(asset)} for asset in ("clips", "training_clips"))
    return Clipped(project, project.exported_folder, rows, files)


def make_clips(project: Project, **changes: object) -> None:
    """Runs of what makes clips and of the export, over episodes that are finished but for them."""
    settings = project.settings(**CLIPS | changes)
    with dg.DagsterInstance.from_config(str(project.root / "dagster")) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        episodes = instance.get_dynamic_partitions(partitions_name(settings))
        tags = {RANGE_START_TAG: episodes[0], RANGE_END_TAG: episodes[-1]}
        graph = build_definitions(settings)
        assert not materialize_assets(graph, instance, settings, ["clips", "training_clips"], tags=tags)
        assert not materialize_assets(graph, instance, settings, ["exported_set"])


def frames_of(path: Path) -> Iterator[np.ndarray]:
    """As musubi-tuner reads them (`media_utils.py: load_video`)."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.array(frame.to_image())


def names_by_id(project: Project, drawn_show: DrawnShow) -> dict[str, str]:
    """What each character's id means: whom most of the stills show on which nobody else is."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for row in project.rows("clusters"):
        truth = drawn_show.truth_of(row["image_id"])
        if row["kind"] == "still" and len(row["characters"]) == 1:
            people = truth.drawing_at(truth.frame_at((pts_ms_of(row["image_id"]) or 0) / 1000)).people
            seen[row["characters"][0]].update([people[0].character.name] if len(people) == 1 else [])
    return {character: counts.most_common(1)[0][0] for character, counts in seen.items() if counts}


def shown(truth: EpisodeTruth, row: dict) -> list[int]:
    """The numbers of the drawn frames that a clip shows."""
    times_s = [row["start_s"] + i / row["fps"] for i in range(row["frames"])]
    return [math.floor(time_s * truth.fps + 0.5 + 1e-6) for time_s in times_s]  # of two as near, the later one


def test_no_clip_holds_a_cut_of_the_drawing(clipped: Clipped, drawn_show: DrawnShow):
    assert len(clipped.kept) >= 15
    for image_id, row in clipped.kept.items():
        truth = drawn_show.truth_of(image_id)
        assert len({truth.shot_at(number).index for number in shown(truth, row)}) == 1, image_id


def test_a_shot_in_which_nothing_moves_is_left_out_as_held(clipped: Clipped, drawn_show: DrawnShow):
    kept_moves, establishing = 0, []
    for image_id, row in clipped.rows.items():
        truth = drawn_show.truth_of(image_id)
        kind = truth.shot_at(truth.frame_at((row["start_s"] + row["end_s"]) / 2)).kind
        kept_moves += row["kept"] and kind == "pan"
        establishing += [row["reason"]] if kind == "establish" else []
    assert establishing == ["held"]
    assert kept_moves == 3


def test_the_shared_opening_comes_once(clipped: Clipped, drawn_show: DrawnShow):
    """Its title is no clip: with its lettering no still of it is in the set, so nothing says what it shows."""
    selection = {row["image_id"]: row["reason"] for row in clipped.project.rows("selection")}
    frames = [row for row in clipped.project.rows("distinct_frames") if row["kept"]]
    reasons: dict[int, set[str]] = defaultdict(set)  # of the clips within the opening, by the place of their shot
    stills: dict[int, set[str]] = defaultdict(set)  # why stills of that place are not in the set
    kept = Counter[int]()
    for image_id, row in clipped.rows.items():
        truth = drawn_show.truth_of(image_id)
        shots = {truth.shot_at(number).index: truth.shot_at(number) for number in shown(truth, row)}
        first = next(shot.index for shot in truth.shots if shot.kind == "opening")
        for shot in shots.values():
            if shot.kind == "opening":
                place = shot.index - first
                reasons[place].add(row["reason"])
                kept[place] += row["kept"]
                of_shot = [it for it in frames if it["episode"] == row["episode"]]
                stills[place] |= {
                    selection[it["image_id"]] for it in of_shot if shot.start_s <= it["pts_s"] < shot.end_s
                }
    assert dict(kept) == {0: 0, 3: 1}
    assert reasons == {0: {"undescribed", "repeated"}, 3: {"kept", "repeated"}}
    assert "burnt_in_text" in stills[0]
    assert "selected" not in stills[0]


def test_every_clip_is_said_to_show_whom_it_shows(clipped: Clipped, drawn_show: DrawnShow):
    """A character has no name but an id: what an id means is what most images that bear it show."""
    names = names_by_id(clipped.project, drawn_show)
    right = wrong = 0
    for image_id, row in clipped.kept.items():
        truth = drawn_show.truth_of(image_id)
        seen = {person.character.name for n in shown(truth, row) for person in truth.drawing_at(n).people}
        assert row["caption"].strip()
        assert len(row["characters"]) < 2 or "solo" not in row["tags"]
        for character in row["characters"]:
            assert character in row["caption"]
            right += names.get(character) in seen
            wrong += names.get(character) not in seen
    assert right >= 10
    assert wrong <= 0.1 * right


def test_a_clip_has_the_frames_the_rate_and_the_colours_of_its_source(clipped: Clipped, drawn_show: DrawnShow):
    """At least 35 dB against the source's frames as they become stills, in the way that musubi-tuner reads videos."""
    sources = {source.key: source.path for source in find_sources([drawn_show.folder]).sources}
    for episode, source in sources.items():
        [probe] = clipped.project.store.read("video_probe", episode).to_pylist()
        rows = {image_id: row for image_id, row in clipped.kept.items() if row["episode"] == episode}
        wanted = {number for row in rows.values() for number in shown(drawn_show.truths[episode], row)}
        frames = enumerate(iter_frames(source, conversion=Conversion.of(probe)))
        stills = {number: frame.rgb() for number, frame in frames if number in wanted}
        for image_id, row in rows.items():
            path = clipped.project.root / "store" / clipped.files[image_id]["path"]
            with av.open(str(path)) as container:
                [stream] = container.streams
                context = stream.codec_context
                assert (stream.average_rate, stream.frames) == (FPS, row["frames"])
                assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)
                assert context.color_range == 1
            read = list(frames_of(path))
            assert [frame.shape for frame in read] == [(352, 640, 3)] * row["frames"]
            for picture, number in zip(read, shown(drawn_show.truths[episode], row), strict=True):
                # 640x360, cut to multiples of 16: four lines at the top and at the bottom
                assert cv2.PSNR(picture, np.ascontiguousarray(stills[number][4:356])) >= 35, image_id


def test_the_exported_set_lists_every_clip_in_a_part_of_its_own(clipped: Clipped):
    config = tomllib.loads((clipped.folder / "dataset.toml").read_text("utf-8"))
    videos = [dataset for dataset in config["datasets"] if "video_directory" in dataset]
    found = {}
    for dataset in videos:
        assert dataset["resolution"] == [640, 352]
        assert dataset["frame_extraction"] == "head"
        for path in (clipped.folder / dataset["video_directory"]).glob("*.mp4"):
            assert [sum(1 for _ in frames_of(path))] == dataset["target_frames"]
            found[path.stem] = path.with_suffix(".txt").read_text("utf-8")
    manifest = json.loads((clipped.folder / "manifest.json").read_text("utf-8"))
    listed = [entry for entry in manifest["images"] if entry["part"] == "clips"]
    assert found == {Path(entry["file"]).stem: entry["caption"] for entry in listed}
    assert {entry["image_id"] for entry in listed} == clipped.kept.keys()
    assert {(entry["kind"], entry["fps"]) for entry in listed} == {("clip", FPS)}


def test_recaption_writes_the_captions_of_clips_too(clipped: Clipped, tmp_path: Path):
    folder = tmp_path / clipped.folder.name
    shutil.copytree(clipped.folder, folder)
    report = recaption(folder, {"template": "sentence"})
    assert clipped.kept.keys() <= report.captions
    text = next((folder / "clips").rglob("*.txt")).read_text("utf-8")
    assert "video clip" in text


def test_clips_that_are_there_stay_and_other_trainers_get_none(clipped: Clipped, tmp_path: Path):
    shutil.copytree(clipped.project.root, tmp_path / "project")
    project = Project(tmp_path / "project")
    written = {path: path.stat().st_mtime_ns for path in project.root.rglob("store/**/*.mp4")}
    make_clips(project, clips__min_change=30, exported_set__profile="plain")
    rows = project.rows("training_clips")
    assert 0 < len(rows) < len(written)
    paths = [project.root / "store" / row["path"] for row in rows]
    assert {path: path.stat().st_mtime_ns for path in paths}.items() <= written.items()
    assert project.store.pointer("exported_set").provenance.settings["exported_set"]["profile"] == "plain"
    assert not list(project.exported_folder.rglob("*.mp4"))
