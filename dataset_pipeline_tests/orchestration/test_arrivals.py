"""Episodes that come, change, move, go and come back: first as plans over real folders, then through the sensor."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.test_utils import create_run_for_test
from PIL import Image

from dataset_pipeline.orchestration import arrivals
from dataset_pipeline.orchestration.arrivals import SettledContent, arrivals_sensor, look_for_new, survey
from dataset_pipeline.orchestration.prune import prune
from dataset_pipeline.orchestration.registration import carry_over, register, video_key
from dataset_pipeline.orchestration.unfinished import project_tag
from dataset_pipeline.settings import ArrivalsSettings, Settings, load_settings
from dataset_pipeline.sources import keys
from dataset_pipeline.sources.arrival_plan import (
    CALM_S,
    EVENTS_AT_ONCE,
    READS_AT_ONCE,
    Capacity,
    Plan,
    Recorded,
    State,
    plan,
)
from dataset_pipeline.sources.finding import find_sources, list_sources
from dataset_pipeline.sources.keys import keys_of
from dataset_pipeline.sources.locations import whereabouts
from dataset_pipeline.sources.names import ReleaseName
from dataset_pipeline.sources.passed_over import BESIDE_VIDEOS, NOTES, last_summaries
from dataset_pipeline.sources.roots import path_of
from dataset_pipeline.sources.source import Found
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

MATROSKA = b"\x1a\x45\xdf\xa3"
NOON_S = 1_700_000_000.0
TICK_S = 30.0
HOUR_S = 3600.0


def put(path: Path, content: str = "a", mtime_s: float = NOON_S - HOUR_S) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MATROSKA + content.encode())
    os.utime(path, (mtime_s, mtime_s))
    return path


def put_picture(path: Path, mtime_s: float = NOON_S - HOUR_S) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(path)
    os.utime(path, (mtime_s, mtime_s))
    return path


@dataclass
class World:
    """Folders on disk, a clock, and the Dagster that a plan would be carried out in."""

    roots: list[Path]
    now_s: float = NOON_S
    limits: ArrivalsSettings = field(
        default_factory=lambda: ArrivalsSettings(settle_s=30.0, at_once=20, join_interval_h=6.0)
    )
    state: State = field(default_factory=State)
    records: dict[str, Recorded] = field(default_factory=dict)
    partitions: set[str] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)  # run key -> queued or done
    fault: str = ""
    opened: list[Path] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    other_runs: int = 0

    def fingerprint(self, source: Found) -> str:
        self.opened.append(source.path)
        return source.fingerprint()

    def whereabouts(self, path: str, root: Path | None) -> Any:
        return whereabouts(Path(path), root)

    def recorded(self, keys: Sequence[str]) -> dict[str, Recorded]:
        self.asked += keys
        return {key: self.records[key] for key in keys if key in self.records}

    def registered(self) -> set[str]:
        return self.partitions

    def started(self, run_key: str) -> bool:
        return run_key in self.runs

    def capacity(self) -> Capacity:
        queued = sum(status == "queued" for status in self.runs.values())
        return Capacity(0, self.fault) if self.fault else Capacity(max(0, self.limits.at_once - queued))

    def busy(self) -> bool:
        return bool(self.other_runs) or "queued" in self.runs.values()

    def limit(self, **changes: Any) -> None:
        self.limits = self.limits.model_copy(update=changes)

    def finish_runs(self) -> None:
        self.runs = dict.fromkeys(self.runs, "done")

    def look(self, carry_out: bool = True) -> Plan:
        content_at = SettledContent(self.state.files, self.limits.settle_s, self.now_s)
        done = plan(
            State.of(self.state.cursor),
            survey(self.roots, content_at),
            content_at.known,
            self.limits,
            self,
            self.now_s,
        )
        self.now_s += TICK_S
        if carry_out:
            self.report(done)
            self.partitions |= {arrival.source.key for arrival in done.arriving}
            self.runs |= {arrival.run_key: "queued" for arrival in done.arriving}
            self.state = done.state
        return done

    def report(self, done: Plan) -> None:
        for arrival in done.arriving:
            source = arrival.source
            self.records[source.key] = Recorded(source.fingerprint, str(source.path), arrival.run_key)
        for source in done.moved:
            self.records[source.key] = replace(self.records[source.key], path=str(source.path))

    def looks(self, count: int = 2) -> list[str]:
        """The keys that arrive in so many looks, whose runs then finish."""
        arrived = [arrival.source.key for _ in range(count) for arrival in self.look().arriving]
        self.finish_runs()
        return arrived


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "episodes").mkdir()
    return World([tmp_path / "episodes"])


@pytest.fixture
def show(world: World) -> Path:
    return world.roots[0] / "Show"


def test_an_episode_arrives_once_and_a_quiet_look_opens_and_asks_nothing(world, show):
    path = put(show / "01.mkv")
    assert world.look().arriving == []
    [arrival] = world.look().arriving
    assert (arrival.source.key, arrival.source.path) == ("show.e01", path)
    assert arrival.run_key == f"show.e01/{arrival.source.fingerprint}/1"
    world.opened.clear()
    world.asked.clear()
    assert world.looks(5) == []
    assert (world.opened, world.asked) == ([], [])


def test_a_file_that_grows_is_not_opened_before_it_has_settled(world, show):
    for size in range(4):
        put(show / "01.mkv", "x" * size, mtime_s=world.now_s - 1)
        assert world.look().arriving == []
    world.now_s -= 10  # it has looked the same for 20 s
    assert world.look().arriving == []
    assert world.opened == []
    assert world.looks(1) == ["show.e01"]
    assert world.opened == [show / "01.mkv"]


def test_a_file_from_the_future_settles_all_the_same(world, show):
    put(show / "01.mkv", mtime_s=NOON_S + 1000 * HOUR_S)
    assert world.looks(2) == ["show.e01"]


@pytest.mark.parametrize("behind_s", [-14 * HOUR_S, 600, 14 * HOUR_S])
def test_a_file_that_grows_on_a_server_whose_clock_is_off_is_not_opened_before_it_has_settled(world, show, behind_s):
    world.limit(settle_s=3 * TICK_S)
    for size in range(2):
        put(show / "01.mkv", "x" * size, mtime_s=world.now_s - behind_s)
        assert world.looks(2) == []
    assert world.opened == []
    assert world.looks(3) == ["show.e01"]


def test_a_file_of_days_ago_is_taken_at_the_second_look(world, show):
    world.limit(settle_s=3 * TICK_S)
    put(show / "01.mkv", mtime_s=NOON_S - 48 * HOUR_S)
    assert world.looks(2) == ["show.e01"]


def test_downloads_beside_a_file_keep_it_waiting(world, show):
    put(show / "01.mkv", "")  # as browsers reserve the name
    put(show / "01.mkv.part", "half")
    put(show / "02.mkv")
    assert world.looks(3) == ["show.e02"]
    (show / "01.mkv.part").rename(show / "01.mkv")
    assert world.looks(2) == ["show.e01"]


def test_a_folder_of_pictures_waits_for_its_last_picture_and_arrives_again_with_one_more(world, show):
    for number in range(3):
        put_picture(show / f"{number}.png", mtime_s=world.now_s - 1)
        assert world.look().arriving == []
    assert world.looks(3) == ["show.show"]
    put_picture(show / "more" / "3.png")
    assert world.looks(2) == ["show.show"]
    (show / "0.png").unlink()
    assert world.looks(2) == ["show.show"]
    assert world.looks(3) == []


def test_a_poster_does_not_make_an_episode_of_a_show_whose_video_is_loading(world, show):
    put_picture(show / "poster.png")
    put(show / "01.mkv.part")
    assert world.looks(4) == []
    (show / "01.mkv.part").rename(show / "01.mkv")
    assert world.looks(3) == ["show.e01"]


def test_a_file_whose_ending_says_nothing_is_opened_once_and_remembered(world, show, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "dataset_pipeline.orchestration.arrivals.content_of", lambda path: opened.append(path) or "other"
    )
    put(show / "01.mkv")
    put(show / "data.bin", mtime_s=world.now_s - 1)
    assert world.looks(1) == []
    assert opened == []
    assert world.looks(5) == ["show.e01"]
    assert opened == [show / "data.bin"]


def test_a_replaced_file_arrives_alone_and_the_first_one_again_when_it_returns(world, show):
    put(show / "01.mkv", "A")
    put(show / "02.mkv")
    assert world.looks() == ["show.e01", "show.e02"]
    put(show / "01.mkv", "BB")
    assert world.looks() == ["show.e01"]
    put(show / "01.mkv", "A")
    assert world.looks() == ["show.e01"]
    assert [run_key[-2:] for run_key in world.runs if run_key.startswith("show.e01")] == ["/1", "/1", "/2"]


def test_a_look_that_breaks_off_at_any_point_is_repeated_without_loss_or_second_run(world, show):
    put(show / "01.mkv")
    world.look()
    [first] = world.look(carry_out=False).arriving  # nothing reported
    broken = world.look(carry_out=False)
    assert [arrival.run_key for arrival in broken.arriving] == [first.run_key]
    world.report(broken)  # reported, but no partition and no run
    [again] = world.look(carry_out=False).arriving
    assert again.run_key == first.run_key
    world.runs[again.run_key] = "queued"  # run, but the cursor was lost
    world.partitions.add("show.e01")
    assert world.looks(3) == []


@pytest.mark.parametrize("cursor", [None, "", "{}", "not base85 \x00", "9" * 50, State().cursor[:-3], "[1,2]"])
def test_a_cursor_that_cannot_be_read_counts_as_empty(cursor):
    assert State.of(cursor) == State()


@pytest.mark.parametrize("content", [[99, [], [], None, None], [1, [["a"]], [], None, None], [1, 5, {}, "x", 0], {}, 7])
def test_a_foreign_cursor_counts_as_empty(content):
    assert State.of(base64.b85encode(zlib.compress(json.dumps(content).encode())).decode()) == State()


def test_a_lost_cursor_runs_nothing_again_but_what_changed_meanwhile(world, show):
    for number in range(1, 6):
        put(show / f"{number:02}.mkv", str(number))
    assert len(world.looks()) == 5
    world.state = State()
    put(show / "02.mkv", "changed")
    assert world.looks(3) == ["show.e02"]


def test_an_episode_registered_by_hand_is_not_measured_again(world, show):
    source = find_sources([put(show / "01.mkv")]).sources[0]
    world.records["show.e01"] = Recorded(source.fingerprint, str(source.path), "")
    world.partitions.add("show.e01")
    assert world.looks(3) == []
    assert world.look().marks == []


def test_what_was_taken_out_stays_out_and_is_named_until_its_file_changes(world, show):
    put(show / "01.mkv", "A")
    world.looks()
    world.partitions.clear()
    assert "taken out for good" in world.look().notes[0]
    world.state = State()
    assert world.looks(3) == []
    put(show / "01.mkv", "BB")
    assert world.looks() == ["show.e01"]


def test_no_more_run_at_once_than_allowed_and_no_more_than_twenty_arrive_in_a_look(world, show):
    world.limit(at_once=50)
    for number in range(1, 71):
        put(show / f"{number:02}.mkv", str(number))
    world.look()
    assert [len(world.look().arriving) for _ in range(4)] == [20, 20, 10, 0]
    assert "20 episodes wait for their turn" in world.look().notes[0]
    world.runs[next(iter(world.runs))] = "done"
    assert len(world.look().arriving) == 1
    world.finish_runs()
    assert [len(world.look().arriving) for _ in range(2)] == [19, 0]
    assert len(world.partitions) == 70


def test_only_so_many_files_are_read_in_one_look(world, show):
    for number in range(READS_AT_ONCE + 5):
        put(show / f"{number:03}.mkv", str(number))
    world.look()
    notes = world.look().notes
    assert len(world.opened) == READS_AT_ONCE
    assert f"5 of {READS_AT_ONCE + 5} sources wait to be read" in notes
    world.look()
    assert len(world.opened) == READS_AT_ONCE + 5


def test_a_backlog_pauses_after_the_join_interval_until_all_has_been_calm(world, show):
    world.limit(at_once=1, join_interval_h=1.0)
    for number in range(1, 30):
        put(show / f"{number:02}.mkv", str(number))
    world.look()
    began_s = world.now_s
    assert len(world.look().arriving) == 1
    for minutes in range(10, 60, 10):
        world.now_s = began_s + 60 * minutes
        world.finish_runs()
        assert len(world.look().arriving) == 1
    world.now_s = began_s + HOUR_S
    assert "join_interval_h = 1" in world.look().notes[0]  # the last run goes on
    world.finish_runs()
    world.other_runs = 1  # a joined asset
    assert all(not world.look().arriving for _ in range(10))
    world.other_runs = 0
    quiet_s = world.now_s
    while not world.look().arriving:
        assert world.now_s <= quiet_s + CALM_S + TICK_S
    assert world.now_s == quiet_s + CALM_S + TICK_S
    world.finish_runs()
    assert len(world.look().arriving) == 1  # a new batch


def test_without_a_backlog_nothing_ever_pauses(world, show):
    world.other_runs = 1
    for number in range(1, 20):
        put(show / f"{number:02}.mkv", str(number))
        assert world.looks() == [f"show.e{number:02}"]
        world.now_s += 2 * HOUR_S


def test_missing_weights_leave_everything_to_a_later_look(world, show):
    put(show / "01.mkv")
    world.fault = "fetch it once with: dataset-pipeline models pull"
    plans = [world.look() for _ in range(3)]
    assert not any(done.arriving for done in plans)
    assert plans[-1].notes == ["1 episodes wait. fetch it once with: dataset-pipeline models pull"]
    world.fault = ""
    assert world.looks(1) == ["show.e01"]


def test_a_removed_file_is_marked_once_after_two_looks_and_once_when_it_is_back(world, show):
    put(show / "01.mkv")
    put(show / "02.mkv")
    world.looks()
    shutil.move(show / "01.mkv", world.roots[0].parent / "01.mkv")
    assert world.look().marks == []
    [mark] = world.look().marks
    assert (mark.episode, mark.path, mark.back) == ("show.e01", str(show / "01.mkv"), False)
    assert mark.fingerprint == world.records["show.e01"].fingerprint
    assert [world.look().marks for _ in range(3)] == [[], [], []]
    assert "show.e01" in world.partitions
    shutil.move(world.roots[0].parent / "01.mkv", show / "01.mkv")
    back = [world.look() for _ in range(4)]
    assert [(mark.episode, mark.back) for done in back for mark in done.marks] == [("show.e01", True)]
    assert not any(done.arriving for done in back)


def test_a_file_gone_for_one_look_only_is_not_marked(world, show):
    put(show / "01.mkv")
    put(show / "02.mkv")
    world.looks()
    for _ in range(3):
        (show / "01.mkv").rename(show / ".away")
        assert world.look().marks == []
        (show / ".away").rename(show / "01.mkv")
        assert world.look().marks == []


def test_a_root_that_is_missing_empty_or_unreadable_loses_nothing(world, show, monkeypatch):
    put(show / "01.mkv")
    world.looks()
    away = world.roots[0].with_name("away")
    world.roots[0].rename(away)
    for _ in range(3):
        done = world.look()
        assert (done.marks, done.arriving) == ([], [])
        assert f"there is no folder {world.roots[0]}" in done.notes[0]
    world.roots[0].mkdir()  # the mount point of a disk that is away
    for _ in range(3):
        done = world.look()
        assert done.marks == []
        assert "holds nothing, but 1 episodes lay in it: mount its disk" in done.notes[0]
    world.roots[0].rmdir()
    away.rename(world.roots[0])
    listing = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == world.roots[0]:
            raise OSError(5, "Input/output error")
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "cannot be listed: Input/output error" in world.look().notes[0]
    assert world.look().marks == []
    monkeypatch.undo()
    done = [world.look() for _ in range(3)]
    assert not any(look.arriving or look.marks or look.notes for look in done)


def test_an_unreadable_subfolder_is_named_and_its_episodes_are_kept(world, show, monkeypatch):
    put(show / "01.mkv")
    put(world.roots[0] / "Other" / "01.mkv")
    world.looks()
    listing, status = os.scandir, Path.stat

    def refuse(path: Any) -> Any:
        if Path(path) == show:
            raise PermissionError(13, "Permission denied")
        return listing(path)

    def refuse_stat(path: Path, **kwargs: Any) -> os.stat_result:
        if path.parent == show:
            raise PermissionError(13, "Permission denied")
        return status(path, **kwargs)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(Path, "stat", refuse_stat)
    done = [world.look() for _ in range(3)]
    assert [look.marks for look in done] == [[], [], []]
    assert f"{show} cannot be read: Permission denied" in done[0].notes[0]
    monkeypatch.undo()
    assert world.looks(3) == []


def test_an_emptied_show_folder_may_be_a_disk_that_is_away(world, show):
    put(show / "01.mkv")
    put(world.roots[0] / "Other" / "01.mkv")
    world.looks()
    (show / "01.mkv").unlink()
    assert [world.look().marks for _ in range(3)] == [[], [], []]
    show.rmdir()
    assert [len(world.look().marks) for _ in range(3)] == [0, 1, 0]


def test_one_root_that_is_away_says_nothing_about_the_others(world, show):
    world.roots.append(world.roots[0].with_name("nas"))
    put(show / "01.mkv")
    put(world.roots[1] / "Far" / "01.mkv")
    assert world.looks() == ["far.e01", "show.e01"]
    world.roots[1].rename(world.roots[1].with_name("unplugged"))
    put(show / "02.mkv")
    assert world.looks() == ["show.e02"]


def test_a_file_that_cannot_be_read_waits_behind_the_others_and_is_tried_again(world, show, monkeypatch):
    put(show / "01.mkv")
    put(show / "02.mkv", "x")
    real = Found.fingerprint

    def locked(source: Found) -> str:
        if source.path.name == "01.mkv":
            raise PermissionError(13, "in use")
        return real(source)

    monkeypatch.setattr(Found, "fingerprint", locked)
    world.look()
    done = world.look()
    assert [arrival.source.key for arrival in done.arriving] == ["show.e02"]
    assert done.notes == [f"cannot be read: {show / '01.mkv'} (in use)"]
    monkeypatch.undo()
    assert world.looks(1) == ["show.e01"]


def test_a_moved_file_is_registered_at_its_new_place_and_not_run(world, show):
    path = put(show / "[A] Show - 01.mkv")
    put(show / "02.mkv")
    world.looks()
    path.rename(show / "Show - 01 [1080p].mkv")
    plans = [world.look() for _ in range(4)]
    assert not any(done.arriving or done.marks for done in plans)
    assert [(s.key, s.path.name) for done in plans for s in done.moved] == [("show.e01", "Show - 01 [1080p].mkv")]


def test_another_file_under_the_same_name_takes_the_place_of_one_that_is_gone(world, show):
    path = put(show / "[A] Show - 01.mkv", "first")
    world.looks()
    path.unlink()
    put(show / "[B] Show - 01v2.mkv", "second")
    plans = [world.look() for _ in range(4)]
    assert [arrival.source.key for done in plans for arrival in done.arriving] == ["show.e01"]
    assert not any(done.marks for done in plans)


def test_a_known_file_keeps_its_key_when_another_claims_it(world, show):
    put(show / "[A] Show - 01.mkv", "first")
    assert world.looks() == ["show.e01"]
    put(show / "[B] Show - 01v2.mkv", "second")
    [second] = world.looks()
    assert second.startswith("show.e01-")
    (show / "[A] Show - 01.mkv").unlink()
    put(show / "03.mkv")
    plans = [world.look() for _ in range(3)]
    assert [arrival.source.key for done in plans for arrival in done.arriving] == ["show.e03"]
    assert [mark.episode for done in plans for mark in done.marks] == ["show.e01"]


def test_files_that_claim_one_key_together_both_get_their_hash_and_keep_it_without_the_other(world, show):
    put(show / "[A] Show - 01.mkv", "first")
    put(show / "[B] Show - 01v2.mkv", "second")
    keys = world.looks()
    assert keys == sorted(find.key for find in find_sources(world.roots).sources)
    (show / "[B] Show - 01v2.mkv").unlink()
    assert world.looks(3) == []
    world.state = State()
    assert world.looks(3) == []


def test_a_lost_cursor_leaves_the_keys_that_were_claimed_first(world, show):
    put(show / "[A] Show - 01.mkv", "first")
    world.looks()
    put(show / "[B] Show - 01v2.mkv", "second")
    world.looks()
    world.state = State()
    assert world.looks(3) == []
    assert len(world.partitions) == 2


def test_a_copy_waits_while_the_disk_of_the_episode_is_away_and_replaces_it_once_the_root_is_given_up(world, show):
    old = world.roots[0].with_name("old disk")
    world.roots.append(old)
    put(show / "02.mkv")
    put(old / "Show" / "01.mkv", "A")
    assert world.looks() == ["show.e01", "show.e02"]
    shutil.copytree(old / "Show", show, dirs_exist_ok=True)
    shutil.rmtree(old)
    plans = [world.look() for _ in range(3)]
    assert not any(done.arriving or done.moved for done in plans)
    assert any("waits for the disk" in note and "show.e01" in note for note in plans[-1].notes)
    world.roots.remove(old)
    os.utime(show / "01.mkv", (NOON_S, NOON_S))  # copied without its time: the same episode, looked at again
    world.now_s += HOUR_S
    assert world.looks(3) == ["show.e01"]


def test_a_project_that_moves_registers_new_places_a_few_at_a_time(world, show):
    for number in range(EVENTS_AT_ONCE + 10):
        put(show / f"{number:03}.mkv", str(number))
    world.limit(at_once=500)
    world.looks(6)
    elsewhere = world.roots[0].with_name("elsewhere")
    world.roots[0].rename(elsewhere)
    world.roots = [elsewhere]
    plans = [world.look() for _ in range(4)]
    assert [len(done.moved) for done in plans] == [0, EVENTS_AT_ONCE, 10, 0]
    assert not any(done.arriving for done in plans)


def test_one_file_reached_in_two_ways_is_one_episode(world, show):
    put(show / "01.mkv")
    (show / "again.mkv").symlink_to(show / "01.mkv")
    (show / "nowhere.mkv").symlink_to(show / "missing.mkv")
    (show / "up").symlink_to(world.roots[0], target_is_directory=True)
    world.roots += [show, world.roots[0].with_name("link")]
    world.roots[2].symlink_to(world.roots[0], target_is_directory=True)
    assert world.looks(4) == ["show.e01"]
    world.roots = world.roots[2:]
    assert world.looks(4) == []


def test_a_link_to_itself_is_named_and_hides_nothing(world, show):
    put(show / "01.mkv")
    (show / "02.mkv").symlink_to(show / "02.mkv")
    assert world.looks() == ["show.e01"]
    assert f"{show / '02.mkv'} cannot be read" in world.look().notes[0]


def test_names_of_thousands_of_characters_are_no_obstacle(world):
    deep = world.roots[0].joinpath(*["n" * 250] * 12)
    here = os.open(world.roots[0], os.O_RDONLY)
    try:
        for part in deep.relative_to(world.roots[0]).parts:
            os.mkdir(part, dir_fd=here)
            here, above = os.open(part, os.O_RDONLY, dir_fd=here), here
            os.close(above)
        os.close(os.open("01.mkv", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.utime("01.mkv", (NOON_S - HOUR_S, NOON_S - HOUR_S), dir_fd=here)
    finally:
        os.close(here)
    put(world.roots[0] / "Show" / "01.mkv")
    [long, short] = world.looks()
    assert short == "show.e01"
    assert len(long) <= 100


def test_pictures_right_in_a_root_make_no_episode_of_the_root(world):
    put_picture(world.roots[0] / "Artbook" / "a.png")
    put_picture(world.roots[0] / "cover.png")
    assert world.looks() == ["artbook.artbook"]


# The command line goes by the same keys.


def test_sources_keep_the_keys_that_an_owner_holds(tmp_path):
    first, second = put(tmp_path / "Show" / "[A] Show - 01.mkv", "1"), put(tmp_path / "Show" / "[B] Show - 01.mkv", "2")
    found, _ = list_sources([tmp_path])
    assert all("-" in key for key in keys_of(found, lambda key: None))
    owned = dict(zip([item.path for item in found], keys_of(found, {"show.e01": first}.get), strict=True))
    assert owned[first] == "show.e01"
    assert owned[second].startswith("show.e01-")
    [alone] = [item for item in found if item.path == second]
    assert keys_of([alone], {"show.e01": first}.get) == [owned[second]]
    assert keys_of([alone], {owned[second]: second}.get) == [owned[second]]
    assert keys_of([alone], lambda key: None) == ["show.e01"]


# The sensor, on an instance of Dagster.


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def settings_in(tmp_path: Path, **changes: Any) -> Settings:
    (tmp_path / "settings.toml").write_text("")
    usual = {
        "models__pack": "demo",
        "episodes__roots": [str(tmp_path / "episodes")],
        "store__root": str(tmp_path / "store"),
        "arrivals__settle_s": 0.0,
    }
    return load_settings(tmp_path / "settings.toml", **usual | changes)


@dataclass
class Daemon:
    """Carries out what the sensor asks for, as Dagster's daemon does."""

    settings: Settings
    instance: dg.DagsterInstance
    cursor: str | None = None

    @property
    def store(self) -> Store:
        return Store(self.settings.store.root)

    @property
    def sensor(self) -> dg.SensorDefinition:
        return arrivals_sensor(self.settings, self.store, dg.define_asset_job("measure_episode", "demo/video_probe"))

    def tick(self) -> dg.SensorResult:
        result = self.sensor(dg.build_sensor_context(instance=self.instance, cursor=self.cursor))
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        for request in result.run_requests or ():
            create_run_for_test(
                self.instance,
                "measure_episode",
                tags={**request.tags, "dagster/run_key": request.run_key, "dagster/partition": request.partition_key},
                status=dg.DagsterRunStatus.STARTED,
            )
        self.cursor = result.cursor
        return result

    def ticks(self, count: int = 2) -> list[str]:
        return [str(request.partition_key) for _ in range(count) for request in self.tick().run_requests or ()]

    def finish_runs(self) -> None:
        for run in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            self.instance.report_run_canceled(run)

    def latest(self, episode: str) -> dg.AssetMaterialization:
        chosen = dg.AssetRecordsFilter(asset_key=video_key(self.settings), asset_partitions=[episode])
        event = self.instance.fetch_materializations(chosen, limit=1).records[0].asset_materialization
        assert event is not None
        return event

    def observed(self, episode: str) -> list[str]:
        chosen = dg.AssetRecordsFilter(asset_key=video_key(self.settings), asset_partitions=[episode])
        records = self.instance.fetch_observations(chosen, limit=10, ascending=True).records
        return [
            str(record.asset_observation.metadata["source"].value) for record in records if record.asset_observation
        ]


@pytest.fixture
def daemon(settings: Settings):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(settings, instance)


def test_the_sensor_registers_reports_and_runs_an_arrival(daemon, tmp_path):
    path = put(tmp_path / "episodes" / "Show" / "01.mkv")
    assert daemon.tick().run_requests == []
    result = daemon.tick()
    [request] = result.run_requests
    assert request.partition_key == "show.e01"
    assert request.tags == project_tag(daemon.settings)
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == ["show.e01"]
    event = daemon.latest("show.e01")
    pointer = daemon.store.pointer("video", "show.e01")
    assert event.tags == {"dagster/data_version": pointer.provenance.fingerprint}
    assert event.metadata["path"].value == str(path) == path_of(daemon.settings, pointer)
    assert pointer.provenance.path == "Show/01.mkv"
    assert event.metadata["size_bytes"].value == 5
    assert event.metadata["run_key"].value == request.run_key
    assert daemon.ticks(3) == []


def test_looks_lie_further_apart_the_more_episodes_there_are(settings):
    job = dg.define_asset_job("measure_episode", "demo/video_probe")
    few, many = (arrivals_sensor(settings, Store(settings.store.root), job, episodes) for episodes in (24, 10_000))
    assert (few.minimum_interval_seconds, many.minimum_interval_seconds) == (9, 89)


def test_dagster_resolves_the_run_that_is_asked_for(settings, tmp_path):
    partitions = dg.DynamicPartitionsDefinition(name="episodes_demo")

    @dg.asset(partitions_def=partitions)
    def probe() -> None: ...

    job = dg.define_asset_job("measure_episode", [probe], partitions_def=partitions)
    sensor = arrivals_sensor(settings, Store(settings.store.root), job)
    defs = dg.Definitions(assets=[probe], jobs=[job], sensors=[sensor])
    put(tmp_path / "episodes" / "Show" / "01.mkv")
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}")
    cursor, requests = None, []
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        for _ in range(2):
            context = dg.SensorEvaluationContext(
                instance.get_ref(), cursor=cursor, repository_def=defs.get_repository_def(), instance=instance
            )
            with context:
                data = sensor.evaluate_tick(context)
            cursor = data.cursor
            requests += data.run_requests or ()
    [request] = requests
    assert request.tags["dagster/partition"] == "show.e01"
    assert request.tags["dataset_pipeline/project"] == "episodes_demo"


def test_a_lost_cursor_and_the_command_line_start_no_second_run(daemon, tmp_path):
    put(tmp_path / "episodes" / "Show" / "01.mkv")
    by_hand = put(tmp_path / "episodes" / "Show" / "02.mkv", "by hand")
    register(daemon.instance, daemon.store, daemon.settings, find_sources([by_hand]).sources)
    assert daemon.ticks() == ["show.e01"]
    daemon.cursor = None
    assert daemon.ticks(3) == []
    daemon.cursor = "damaged"
    assert daemon.ticks(3) == []


def test_only_unfinished_measuring_runs_of_this_project_take_up_room(daemon, tmp_path):
    daemon.settings = settings_in(tmp_path, arrivals__at_once=2)
    queued = {"status": dg.DagsterRunStatus.STARTED}
    create_run_for_test(daemon.instance, "measure_episode", tags={"dataset_pipeline/project": "episodes"}, **queued)
    create_run_for_test(daemon.instance, "rebuild_set", tags=project_tag(daemon.settings), **queued)
    for number in range(1, 5):
        put(tmp_path / "episodes" / "Show" / f"{number:02}.mkv", str(number))
    assert daemon.ticks(4) == ["show.e01", "show.e02"]
    daemon.finish_runs()
    assert daemon.ticks(1) == ["show.e03", "show.e04"]


def test_without_weights_the_sensor_says_how_to_get_them_and_registers_nothing(daemon, tmp_path):
    daemon.settings = settings_in(tmp_path, models__pack="real", models__cache=str(tmp_path / "no weights"))
    put(tmp_path / "episodes" / "Show" / "01.mkv")
    daemon.tick()
    result = daemon.tick()
    assert "dataset-pipeline models pull" in result.skip_reason.skip_message
    assert (result.run_requests, result.asset_events, result.dynamic_partitions_requests) == ([], [], [])
    assert daemon.store.episodes("video") == []


def test_the_sensor_says_where_episodes_go_if_there_are_none(daemon, tmp_path):
    assert f"there is no folder {tmp_path / 'episodes'}" in daemon.tick().skip_reason.skip_message
    (tmp_path / "episodes").mkdir()
    assert f"{tmp_path / 'episodes'} holds neither" in daemon.tick().skip_reason.skip_message


def test_removal_and_return_are_observed_with_the_version_unchanged(daemon, tmp_path):
    path = put(tmp_path / "episodes" / "Show" / "01.mkv")
    put(tmp_path / "episodes" / "Show" / "02.mkv", "x")
    daemon.ticks()
    fingerprint = daemon.latest("show.e01").tags["dagster/data_version"]
    path.rename(tmp_path / "01.mkv")
    assert daemon.ticks(4) == []
    assert daemon.observed("show.e01") == [f"removed: {path}"]
    (tmp_path / "01.mkv").rename(path)
    assert daemon.ticks(4) == []
    assert daemon.observed("show.e01") == [f"removed: {path}", f"back: {path}"]
    chosen = dg.AssetRecordsFilter(asset_key=video_key(daemon.settings), asset_partitions=["show.e01"])
    [*_, latest] = daemon.instance.fetch_observations(chosen, limit=10, ascending=True).records
    assert latest.asset_observation.tags == {"dagster/data_version": fingerprint}
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == ["show.e01", "show.e02"]


def test_a_moved_source_is_found_at_its_new_place(daemon, tmp_path):
    path = put(tmp_path / "episodes" / "Show" / "01.mkv")
    put(tmp_path / "episodes" / "Show" / "02.mkv", "x")
    daemon.ticks()
    moved = path.rename(path.with_name("Show - 01.mkv"))
    assert daemon.ticks(4) == []
    assert daemon.store.pointer("video", "show.e01").provenance.path == "Show/Show - 01.mkv"
    assert daemon.latest("show.e01").metadata["path"].value == str(moved)


def test_a_store_written_before_a_crash_does_not_hide_the_arrival(daemon, tmp_path):
    path = put(tmp_path / "episodes" / "Show" / "01.mkv", "A")
    daemon.ticks()
    put(path, "BB")
    daemon.tick()
    result = daemon.sensor(dg.build_sensor_context(instance=daemon.instance, cursor=daemon.cursor))  # then it dies
    assert len(result.run_requests) == 1
    assert daemon.ticks(1) == ["show.e01"]


def test_an_episode_that_was_pruned_is_not_taken_up_again_until_it_is_run_by_hand(daemon, tmp_path):
    path = put(tmp_path / "episodes" / "Show" / "01.mkv")
    daemon.ticks()
    daemon.finish_runs()
    assert prune(daemon.instance, daemon.store, daemon.settings, ["show.e01"]).removed == ["show.e01"]
    assert daemon.ticks(3) == []
    daemon.cursor = None
    assert daemon.ticks(3) == []
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == []
    assert "taken out for good" in daemon.tick().skip_reason.skip_message
    assert register(daemon.instance, daemon.store, daemon.settings, find_sources([path]).sources) == ["show.e01"]
    assert daemon.tick().skip_reason.skip_message == "nothing new"


BADLY_NAMED, OLD, NEW = "[Grp] Paper Comet - 20 (S01E20).mkv", "paper-comet-20.s01e20", "paper-comet.s01e20"


@pytest.fixture
def named_before(daemon, tmp_path, monkeypatch) -> Path:
    """A file that an earlier version of the project took up under a key that its name does not give any more."""
    path = put(tmp_path / "episodes" / BADLY_NAMED)
    with monkeypatch.context() as earlier:
        earlier.setattr(keys, "parse_release_name", lambda name: ReleaseName("Paper Comet - 20", 1, "e20"))
        assert daemon.ticks() == [OLD]
    return path


def test_an_episode_whose_key_changes_brings_its_tables_and_has_one_run(daemon, named_before):
    daemon.finish_runs()
    daemon.store.write("tags", SCHEMAS["tags"].table([{"image_id": f"{OLD}/1"}]), OLD)
    result = daemon.tick()
    assert [request.partition_key for request in result.run_requests] == [NEW]
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == [NEW]
    assert daemon.store.read("tags", NEW)["image_id"].to_pylist() == [f"{NEW}/1"]
    assert daemon.latest(NEW).metadata["path"].value == str(named_before)
    assert daemon.ticks(3) == []
    assert daemon.observed(OLD) == []


def test_a_lost_cursor_renames_all_the_same(daemon, named_before):
    daemon.finish_runs()
    daemon.cursor = None
    assert daemon.ticks(3) == [NEW]
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == [NEW]


def test_the_sensor_renames_nothing_that_a_run_is_at_work_on_and_says_so(daemon, named_before):
    result = daemon.tick()
    assert result.run_requests == []
    assert f"{OLD} becomes {NEW} once run" in result.skip_reason.skip_message
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == [OLD]
    daemon.finish_runs()
    assert daemon.ticks(1) == [NEW]


def test_what_the_command_line_renamed_is_known_to_the_sensor(daemon, named_before, tmp_path):
    daemon.finish_runs()
    found = find_sources([tmp_path / "episodes"]).sources
    carried = carry_over(daemon.instance, daemon.store, daemon.settings, found)
    register(daemon.instance, daemon.store, daemon.settings, carried.sources)
    assert daemon.ticks(3) == []
    assert daemon.tick().skip_reason.skip_message == "nothing new"
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == [NEW]


def test_an_episode_that_was_pruned_under_its_former_key_stays_out(daemon, named_before):
    daemon.finish_runs()
    assert prune(daemon.instance, daemon.store, daemon.settings, [OLD]).removed == [OLD]
    assert daemon.ticks(3) == []
    assert "taken out for good" in daemon.tick().skip_reason.skip_message


def test_a_tick_that_dies_after_renaming_is_repeated(daemon, named_before):
    daemon.finish_runs()
    daemon.sensor(dg.build_sensor_context(instance=daemon.instance, cursor=daemon.cursor))  # then it dies
    assert daemon.ticks(1) == [NEW]
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == [NEW]
    assert daemon.ticks(2) == []


def test_the_nightly_job_renames_too(daemon, named_before):
    daemon.finish_runs()
    found = look_for_new(daemon.settings, daemon.store, daemon.instance)
    carried = carry_over(daemon.instance, daemon.store, daemon.settings, found)
    assert carried.notes == [f"{OLD} is now {NEW} (nothing measured again)"]
    assert register(daemon.instance, daemon.store, daemon.settings, carried.sources) == [NEW]
    assert look_for_new(daemon.settings, daemon.store, daemon.instance) == []


def test_an_episode_whose_key_and_content_both_changed_is_renamed_by_the_sensor(daemon, named_before):
    daemon.finish_runs()
    put(named_before, "touched")
    assert daemon.ticks(4) == [NEW]
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == daemon.store.episodes("video") == [NEW]


def test_an_episode_whose_key_and_content_both_changed_is_renamed_by_the_nightly_job(daemon, named_before):
    daemon.finish_runs()
    put(named_before, "touched")
    found = look_for_new(daemon.settings, daemon.store, daemon.instance)
    carried = carry_over(daemon.instance, daemon.store, daemon.settings, found)
    assert register(daemon.instance, daemon.store, daemon.settings, carried.sources) == [NEW]
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == daemon.store.episodes("video") == [NEW]


def test_a_show_whose_folder_is_renamed_in_a_root_is_renamed_by_the_sensor(daemon, tmp_path):
    root = tmp_path / "episodes"
    put(root / "Show" / "Season 1" / "01.mkv")
    assert daemon.ticks() == ["show.s01e01"]
    daemon.finish_runs()
    (root / "Show").rename(root / "Other Show")
    assert daemon.ticks(4) == ["other-show.s01e01"]
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == ["other-show.s01e01"]
    assert daemon.store.episodes("video") == ["other-show.s01e01"]


def test_the_nightly_job_finds_what_is_new_or_replaced_and_old_enough(daemon, tmp_path, caplog):
    daemon.settings = settings_in(
        tmp_path, arrivals__settle_s=30.0, episodes__roots=[str(tmp_path / "episodes"), str(tmp_path / "away")]
    )
    root = tmp_path / "episodes"
    known = [put(root / "Show" / f"0{number}.mkv", str(number)) for number in (1, 2)]
    register(daemon.instance, daemon.store, daemon.settings, find_sources(known).sources)
    put(root / "Show" / "02.mkv", "replaced")
    put(root / "Show" / "03.mkv", "new")
    put(root / "Show" / "[X] Show - 01.mkv", "claims a key that is taken")
    (root / "Show" / "04.mkv").write_bytes(MATROSKA)  # just written
    found = look_for_new(daemon.settings, daemon.store, daemon.instance)
    assert [source.key[:9] for source in found] == ["show.e01-", "show.e02", "show.e03"]
    assert "away" in caplog.text
    register(daemon.instance, daemon.store, daemon.settings, found)
    assert look_for_new(daemon.settings, daemon.store, daemon.instance) == []


def test_the_nightly_job_looks_twice_at_files_of_the_last_day(daemon, tmp_path, monkeypatch):
    root = tmp_path / "episodes"
    daemon.settings = settings_in(tmp_path, arrivals__settle_s=30.0, episodes__roots=[str(root)])
    an_hour_ago_s, slept_s = time.time() - HOUR_S, []
    put(root / "Show" / "01.mkv", "whole", mtime_s=an_hour_ago_s)
    growing = put(root / "Show" / "02.mkv", "half", mtime_s=an_hour_ago_s)

    def meanwhile(seconds: float) -> None:
        slept_s.append(seconds)
        put(growing, "more than half", mtime_s=an_hour_ago_s)

    monkeypatch.setattr(arrivals.time, "sleep", meanwhile)
    assert [source.key for source in look_for_new(daemon.settings, daemon.store, daemon.instance)] == ["show.e01"]
    assert slept_s == [30.0]


@pytest.mark.parametrize("by_sensor", [True, False])
def test_sensor_and_nightly_job_keep_what_they_pass_over_for_status(daemon, tmp_path, by_sensor):
    def look() -> None:
        daemon.tick() if by_sensor else look_for_new(daemon.settings, daemon.store, daemon.instance)

    root = tmp_path / "episodes"
    put(root / "Show" / "01.mkv")
    cover = put_picture(root / "Show" / "cover.jpg")
    (root / "Empty").mkdir()
    look()
    assert last_summaries(daemon.store) == [
        f"{root}: Empty: is empty",
        f"{root}: Show/cover.jpg: {BESIDE_VIDEOS}",
    ]
    root.rename(tmp_path / "away")
    look()
    (tmp_path / "away").rename(root)
    assert len(last_summaries(daemon.store)) == 2
    (root / "Empty").rmdir()
    cover.unlink()
    look()
    assert daemon.store.notes(NOTES) == {}


def test_the_order_of_partitions_follows_the_order_of_keys(daemon, tmp_path):
    for number in range(9, 0, -1):
        put(tmp_path / "episodes" / "Show" / f"{number:02}.mkv", str(number))
    daemon.ticks()
    assert daemon.instance.get_dynamic_partitions("episodes_demo") == [f"show.e{n:02}" for n in range(1, 10)]
