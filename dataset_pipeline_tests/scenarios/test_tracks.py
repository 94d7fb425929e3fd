"""Tracks of a drawn episode, and the frames that are chosen from them, against what was drawn."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.base.boxes import Box, iou
from dataset_pipeline.characters.poses import chosen_frames
from dataset_pipeline.characters.tracks import tracks_of
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.demo.episodes import TEST_SHOW, ShowPlan, write_episode
from dataset_pipeline.demo.harder import harder_show
from dataset_pipeline.demo.scenes import DrawnPerson
from dataset_pipeline.demo.truth import EpisodeTruth, load_truth
from dataset_pipeline.graph import staleness
from dataset_pipeline.graph.declaration import declared
from dataset_pipeline.models.loading import CALLS, reset_calls
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import Failure, due, materialize_assets
from dataset_pipeline.settings import SettingsError, load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline_tests.scenarios.conftest import DrawnShow, Project, new_project

FRAMES = ["video_probe", "shots", "tracks", "keyframes"]
ON = {"tracks__mode": "on"}
POSES = {**ON, "keyframes__mode": "poses"}
SHORT = replace(TEST_SHOW, scripts=("talk 1, pair 1.5, establish 0.5, walk 1, solo 1",), gop_frames=48)
MIN_HEIGHT_PX = 30  # of a person who counts: smaller ones are far behind


class Made:
    """One drawn episode taken through the assets of frames."""

    def __init__(self, root: Path, show: ShowPlan, number: int = 1) -> None:
        (root / "episodes").mkdir(parents=True)
        (root / "truth").mkdir()
        video = write_episode(root / "episodes", root / "truth", show, number)
        self.truth = load_truth(root / "truth" / f"{video.stem}.json")
        self.project = new_project(root / "project")
        self.instance = dg.DagsterInstance.ephemeral()
        (self.source,) = find_sources([video]).sources
        self.video, self.episode = video, self.source.key

    def run(self, *assets: str, **changes: Any) -> tuple[list[Failure], dict[str, int]]:
        """Materialize assets. Returns what failed and how many pictures each model saw."""
        settings = self.project.settings(**changes)
        reset_calls()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            register(self.instance, self.project.store, settings, [self.source])
            failures = materialize_assets(
                build_definitions(settings), self.instance, settings, list(assets), partition_key=self.episode
            )
        return failures, {name: count for name, count in CALLS.items() if name.endswith(".pictures")}

    def rows(self, asset: str) -> list[dict]:
        return self.project.store.read(asset, self.episode).to_pylist()

    def frames(self) -> list[int]:
        """The numbers of the frames that are candidates."""
        return [self.truth.frame_at(row["pts_s"]) for row in self.rows("keyframes")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Tracks and the poses that are chosen from them."""
    it = Made(tmp_path_factory.mktemp("tracked"), SHORT)
    failures, calls = it.run(*FRAMES, **POSES)
    assert not failures, failures
    assert calls.keys() == {"detector.pictures", "identity.pictures"}
    return it


# ---------------------------------------------------------------------------------------------- against the truth


def purity(rows: list[dict], truth: EpisodeTruth) -> tuple[int, int]:
    """Samples of tracks that show the person whom the track shows most, and all that show somebody."""
    pure = shown = 0
    for row in rows:
        names: Counter[str] = Counter()
        for sample in row["samples"]:
            box = tuple(sample[side] for side in ("x0_px", "y0_px", "x1_px", "y1_px"))
            people = truth.drawing_at(truth.frame_at(sample["pts_s"])).people
            overlap, name = max(((iou(box, it.person), it.character.name) for it in people), default=(0.0, ""))
            names[name] += overlap >= 0.4
        pure, shown = pure + max(names.values(), default=0), shown + names.total()
    return pure, shown


def is_same_pose(one: DrawnPerson, other: DrawnPerson) -> bool:
    """Whether the person has one form, and head, hands and feet lie where they lay in it, wherever in the picture it is
    and however large. Feet count where both are seen both times."""
    if len(one.hands) != len(other.hands) or one.behind != other.behind:
        return False
    limbs = [(one.hands, other.hands)]
    if len(one.feet) == len(other.feet) == 2:
        limbs.append((one.feet, other.feet))
    still = all(
        abs(a[i] + a[i + 2] - b[i] - b[i + 2]) / 2 < 0.05
        for mine, its in limbs
        for a, b in zip(
            sorted(in_person(box, one) for box in mine), sorted(in_person(box, other) for box in its), strict=True
        )
        for i in (0, 1)
    )
    heads = [in_person(it.head, it) for it in (one, other) if it.head[2] > 0]
    same_head = len(heads) != 1 and (not heads or iou(*heads) >= 0.75)
    return still and same_head and iou(in_person(one.person, one), in_person(other.person, other)) >= 0.85


def in_person(box: Box, person: DrawnPerson) -> Box:
    """The box in heights of the person, from the middle of theirs."""
    x0, y0, x1, y1 = person.person
    x, y, height = (x0 + x1) / 2, (y0 + y1) / 2, y1 - y0
    return (box[0] - x) / height, (box[1] - y) / height, (box[2] - x) / height, (box[3] - y) / height


def shown(truth: EpisodeTruth, frames: list[int]) -> tuple[int, int, set[tuple]]:
    """Of these frames: the distinct poses, how many show none that one before did not, and the appearances."""
    poses: dict[tuple, list[DrawnPerson]] = {}
    idle = 0
    for frame in frames:
        new = 0
        for person in truth.drawing_at(frame).people:
            if person.person[3] - person.person[1] >= MIN_HEIGHT_PX:
                known = poses.setdefault((truth.shot_at(frame).index, person.character.name, person.mirror), [])
                if not any(is_same_pose(person, other) for other in known):
                    known.append(person)
                    new += 1
        idle += not new
    return sum(map(len, poses.values())), idle, set(poses)


# ----------------------------------------------------------------------------------------------------- milliseconds


def test_without_a_gpu_there_are_no_tracks_and_nothing_else_is_other_than_without_them(
    finished: Project, drawn_show: DrawnShow
):
    for episode in drawn_show.truths:
        empty, frames = (finished.store.pointer(asset, episode) for asset in ("tracks", "keyframes"))
        assert empty is not None
        assert (empty.rows, empty.provenance.numbers) == (0, {"without_gpu": True})
        assert frames is not None
        assert frames.provenance.inputs.keys() == {"video_probe"}
    stills, crops = (len(finished.rows(asset)) for asset in ("stills", "crop_embeddings"))
    assert finished.first_calls["detector.pictures"] == 5 * stills
    assert finished.first_calls["identity.pictures"] == crops


def test_only_poses_read_tracks():
    for mode in ("iframes", "interval", "shot", "mpdecimate"):
        settings = load_settings(keyframes__mode=mode)
        assert declared(settings)["keyframes"].reads == ("video_probe",)
        assert not any(name.startswith("poses_") for name in settings.keyframes.counted())
    settings = load_settings(**POSES)
    assert declared(settings)["keyframes"].reads == ("video_probe", "tracks")
    assert "poses_rule" in settings.keyframes.counted()
    changed = load_settings(**POSES, keyframes__poses_per_track=7)
    assert changed.section_hash("keyframes") != settings.section_hash("keyframes")


def test_poses_without_tracks_are_refused():
    with pytest.raises(SettingsError, match=r'keyframes\.mode = "poses" .* tracks\.mode = "off"'):
        load_settings(keyframes__mode="poses", tracks__mode="off")


# ----------------------------------------------------------------------------------------------------------- seconds


def test_tracks_follow_who_was_drawn(made: Made):
    rows = made.rows("tracks")
    pure, shown_samples = purity(rows, made.truth)
    assert pure >= 0.97 * shown_samples
    drawn = shown(made.truth, list(range(made.truth.frame_count)))[2]
    assert len(rows) >= len(drawn)
    assert all(row["width_px"] == 640 and row["start_s"] <= row["samples"][0]["pts_s"] for row in rows)


def test_other_thresholds_and_other_modes_call_no_model(made: Made):
    for changes in (
        {**POSES, "keyframes__poses_min_score": 0.6, "keyframes__poses_per_track": 2},
        {**ON, "crops__person_min_score": 0.9, "detections__score_floor": 0.3},
        ON,
    ):
        failures, calls = made.run(*FRAMES, **changes)
        assert (failures, calls) == ([], {})
    failures, calls = made.run(*FRAMES, **POSES)
    assert (failures, calls) == ([], {})


def test_tracks_that_were_made_once_come_back_with_their_mode_and_without_a_gpu_stay(made: Made):
    rows = made.rows("tracks")
    assert made.run(*FRAMES, tracks__mode="off") == ([], {})
    assert made.rows("tracks") == []
    for changes in ({"tracks__mode": "auto"}, {**POSES, "tracks__mode": "auto"}, POSES):
        assert made.run(*FRAMES, **changes) == ([], {})
        assert made.rows("tracks") == rows


def test_chosen_frames_are_those_of_tracks_as_large_as_the_video(made: Made):
    rows = made.rows("keyframes")
    seen = {sample["pts"] for row in made.rows("tracks") for sample in row["samples"]}
    assert {row["pts"] for row in rows} <= seen
    assert {(row["width_px"], row["height_px"]) for row in rows} == {(640, 360)}
    poses, idle, appearances = shown(made.truth, made.frames())
    assert idle <= 0.25 * len(rows)
    assert appearances == shown(made.truth, list(range(made.truth.frame_count)))[2]
    failures, _ = made.run(*FRAMES, **ON)  # iframes
    assert not failures
    assert made.rows("keyframes")[0].keys() == rows[0].keys()
    assert poses >= 1.5 * shown(made.truth, made.frames())[0]
    assert not made.run(*FRAMES, **POSES)[0]


def test_crops_of_a_frame_find_their_tracks(made: Made):
    tracks = made.rows("tracks")
    crops = {}
    for row in tracks:
        for sample in row["samples"]:
            sides = [round(1000 * sample[side] / size) for side, size in (("x0_px", 640), ("y0_px", 360))]
            far = [round(1000 * sample[side] / size) for side, size in (("x1_px", 640), ("y1_px", 360))]
            box = (*sides, far[0] - sides[0], far[1] - sides[1])
            still = f"{made.episode}/{round(sample['pts_s'] * 1000):08d}"
            crops[f"{still}#person-" + "-".join(map(str, box))] = row["track_id"]
    assert tracks_of(list(crops), tracks) == crops


def test_tracks_that_a_machine_without_a_gpu_left_out_are_made_where_there_is_one(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    alone = Made(tmp_path, replace(SHORT, scripts=("talk 0.5",)))
    assert alone.run(*FRAMES) == ([], {})
    assert alone.rows("tracks") == []

    def is_due() -> list:
        settings, store = alone.project.settings(), alone.project.store
        return due(["tracks"], alone.instance, settings, store, [alone.episode])

    assert is_due() == []
    monkeypatch.setattr(staleness, "runs_on_gpu", lambda setting: True)
    assert is_due() == [(("tracks",), {alone.episode})]
    monkeypatch.undo()
    failures, _ = alone.run("keyframes", keyframes__mode="poses")
    assert [failure.asset for failure in failures] == ["keyframes"]
    assert '[keyframes] mode = "poses"' in failures[0].error
    assert '[tracks] mode = "on"' in failures[0].error


def test_damage_costs_the_frames_that_it_hit(tmp_path: Path):
    made = Made(tmp_path, replace(SHORT, scripts=("talk 1, pair 1.5, walk 1",)))
    data = bytearray(made.video.read_bytes())
    for place in (3, 5, 7):
        start = place * len(data) // 9
        data[start : start + 300] = bytes(300)
    made.video.write_bytes(data)
    (made.source,) = find_sources([made.video]).sources
    assert made.run(*FRAMES, **POSES)[0] == []
    settings = made.project.settings(**POSES).keyframes
    chosen = chosen_frames(made.rows("tracks"), settings.poses_per_track, settings.poses_min_score)
    candidates = [row["pts"] for row in made.rows("keyframes")]
    assert set(candidates) <= set(chosen)
    assert len(candidates) >= 0.8 * len(chosen) > 0


def test_a_folder_of_pictures_has_no_tracks_and_all_its_pictures_are_candidates(tmp_path: Path):
    made = Made(tmp_path, replace(SHORT, scripts=("establish 0.2",)))
    assert made.run(*FRAMES, **POSES)[0] == []
    assert (made.rows("tracks"), made.rows("keyframes")) == ([], [])  # nobody is there
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.full((80, 120, 3), 90, np.uint8)).save(pictures / "a.png")
    (made.source,) = find_sources([pictures]).sources
    made.episode = made.source.key
    assert made.run(*FRAMES, **{**POSES, "tracks__mode": "auto"}) == ([], {})
    assert made.rows("tracks") == []
    assert len(made.rows("keyframes")) == 1


# ----------------------------------------------------------------------------------------------------------- minutes


@pytest.mark.thorough
def test_over_five_casts_tracks_are_pure_and_poses_show_more_than_intra_frames(tmp_path: Path):
    found: dict[str, list[float]] = {}
    for cast in range(5):
        # An intra frame at each cut and every two seconds, as encoders set them in longer shots.
        show = replace(harder_show(cast, size=(640, 360)), gop_frames=48)
        it = Made(tmp_path / str(cast), show, number=1 + cast % 3)
        failures, calls = it.run(*FRAMES, **POSES)
        assert not failures, failures
        rows, frames = it.rows("tracks"), it.frames()
        pure, shown_samples = purity(rows, it.truth)
        poses, idle, appearances = shown(it.truth, frames)
        looked_at = {it.truth.frame_at(sample["pts_s"]) for row in rows for sample in row["samples"]}
        boxed = {sample["pts_s"] for row in rows if row["max_score"] >= 0.3 for sample in row["samples"]}
        with_box = shown_in(it.truth, rows)
        assert not it.run("keyframes", **ON)[0]
        figures = {
            "purity": pure / shown_samples,
            "distinct poses by those of iframes": poses / shown(it.truth, it.frames())[0],
            "distinct poses of those on any look": poses / shown(it.truth, sorted(looked_at))[0],
            "frames that show nothing new": idle / len(frames),
            "appearances with a box that are shown": len(with_box & appearances) / len(with_box),
            "frames looked at a second": len(boxed) / it.truth.frame_count * it.truth.fps,
            "vectors a track": calls["identity.pictures"] / len(rows),
        }
        for name, figure in figures.items():
            found.setdefault(name, []).append(figure)
    middle = {name: median(figures) for name, figures in found.items()}
    print({name: (round(figure, 3), [round(it, 3) for it in found[name]]) for name, figure in middle.items()})
    assert middle["purity"] >= 0.97
    assert middle["distinct poses by those of iframes"] >= 1.8
    assert middle["distinct poses of those on any look"] >= 0.87
    assert middle["frames that show nothing new"] <= 0.05
    assert middle["appearances with a box that are shown"] == 1.0


def shown_in(truth: EpisodeTruth, rows: list[dict]) -> set[tuple]:
    """The appearances that some track with a score high enough shows, as `shown` names them."""
    found = set()
    for row in rows:
        for sample in row["samples"] if row["max_score"] >= 0.3 else ():
            box = tuple(sample[side] for side in ("x0_px", "y0_px", "x1_px", "y1_px"))
            frame = truth.frame_at(sample["pts_s"])
            people = [it for it in truth.drawing_at(frame).people if it.person[3] - it.person[1] >= MIN_HEIGHT_PX]
            overlap, person = max(((iou(box, it.person), it) for it in people), default=(0.0, None), key=lambda p: p[0])
            if person is not None and overlap >= 0.5:
                found.add((truth.shot_at(frame).index, person.character.name, person.mirror))
    return found
