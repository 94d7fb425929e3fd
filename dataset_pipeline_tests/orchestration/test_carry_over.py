"""Episodes whose key changes, because names are read better now or because a file was renamed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from dataset_pipeline.graph.aliases import current_id, former_keys
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.orchestration.prune import prune
from dataset_pipeline.orchestration.registration import carry_over, owner_in, register, write_source
from dataset_pipeline.orchestration.unfinished import project_tag
from dataset_pipeline.reports.explain import UnknownImage, explain
from dataset_pipeline.reports.status.judging import status_of
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.keys import may_go_by
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.reuse import measure_missing
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

OLD, NEW = "paper-comet-20.s01e20", "paper-comet.s01e20"
FILE = "[Grp] Paper Comet - 20 (S01E20) [1080p].mkv"


def found_at(tree: Path, store: Store) -> list[Source]:
    return find_sources([tree], owner_in(store, load_settings())).sources


def lay(tree: Path, name: str = FILE, content: bytes = b"1") -> Path:
    tree.mkdir(exist_ok=True)
    (tree / name).write_bytes(b"\x1a\x45\xdf\xa3" + content)
    return tree / name


def embedded(payload: float, calls: list[str]):
    def measure(image_ids: list[str]):
        calls.extend(image_ids)
        return ({"embedding": [payload]} for _ in image_ids)

    return measure


def wanted(*image_ids: str) -> pa.Table:
    return pa.table({"image_id": list(image_ids), "pixel_sha256": ["p"] * len(image_ids)})


def earlier_version(instance: dg.DagsterInstance, store: Store, settings: Settings, tree: Path, key: str = OLD) -> None:
    """What an earlier version left of the file in a tree: an episode under a key that names do not give any more."""
    [source] = found_at(tree, store)
    register(instance, store, settings, [replace(source, key=key, show=key.partition(".")[0])])
    still = f"{key}/00001000"
    keyframe = {"image_id": still, "episode": key, "pts": 1, "source_file": "", "path": f"keyframes/{key}/a.png"}
    keyframes = SCHEMAS["keyframes"].table([keyframe])
    store.write("keyframes", keyframes, key, Provenance(inputs={"video_probe": "of-another-day"}))
    measured, _ = measure_missing(store, "frame_embeddings", key, wanted(still), "w", "1", embedded(1.0, []))
    kept = store.pointer("keyframes", key)
    assert kept is not None
    store.write("frame_embeddings", measured, key, Provenance(inputs={"keyframes": kept.data_version}))
    tags = {"image_id": still, "tags": ["1girl", key], "dropped": [{"tag": "red_hair", "reason": f"{still}#head-1"}]}
    store.write("tags", SCHEMAS["tags"].table([tags, {"image_id": f"{key}/2", "tags": None}]), key)
    captions = {"image_id": still, "show": "Paper Comet - 20", "caption": "a"}
    store.write("captions", SCHEMAS["captions"].table([captions]), key, Provenance(inputs={"video": "f", "tags": "t"}))


def test_a_file_whose_key_changes_keeps_its_tables_and_nothing_is_measured_again(instance, store, settings, tmp_path):
    lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")
    carried = carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    register(instance, store, settings, carried.sources)
    assert carried.notes == [f"{OLD} is now {NEW} (nothing measured again)"]
    assert instance.get_dynamic_partitions("episodes") == [NEW]
    assert store.episodes("video") == [NEW]
    [row] = store.read("keyframes", NEW).to_pylist()
    assert (row["image_id"], row["episode"]) == (f"{NEW}/00001000", NEW)
    assert row["path"] == f"keyframes/{OLD}/a.png"  # the picture stays where it is
    calls: list[str] = []
    _, reuse = measure_missing(
        store, "frame_embeddings", NEW, wanted(f"{NEW}/00001000"), "w", "1", embedded(2.0, calls)
    )
    assert (calls, reuse.measured, reuse.reused) == ([], 0, 1)
    [video] = store.read("video", NEW).to_pylist()
    assert (video["show"], video["show_title"]) == ("paper-comet", "Paper Comet")


def test_what_was_up_to_date_stays_so_and_what_was_not_does_not(instance, store, settings, tmp_path):
    lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")
    carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    keyframes = store.pointer("keyframes", NEW)
    assert keyframes.provenance.inputs == {"video_probe": "of-another-day"}
    assert store.pointer("frame_embeddings", NEW).provenance.inputs == {"keyframes": keyframes.data_version}
    assert store.pointer("captions", NEW).provenance.inputs == {"tags": "t"}  # they name the show: made again


def test_a_folder_whose_key_and_stamp_both_changed_is_one_episode_still(instance, store, settings, tmp_path):
    folder = tmp_path / "t" / "Nice Show (Season 7) - 05"
    folder.mkdir(parents=True)
    for name in ("a.png", "a.caption", "sketch.psd"):
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    [source] = find_sources([tmp_path / "t"], folders_of_shows=True).sources
    before = replace(source, key="nice-show.e05", episode="e05", fingerprint="of the pictures alone")
    register(instance, store, settings, [before])
    carried = carry_over(instance, store, settings, [source])
    assert register(instance, store, settings, carried.sources) == ["nice-show.s07e05"]
    assert store.episodes("video") == instance.get_dynamic_partitions("episodes") == ["nice-show.s07e05"]
    assert carried.notes == [
        "nice-show.e05 is now nice-show.s07e05 (its files have changed too: what that asks for is measured again)"
    ]


def test_a_touched_video_whose_key_changes_takes_its_tables_along_and_is_looked_at_again(
    instance, store, settings, tmp_path
):
    path = lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")
    of_before = store.pointer("video", OLD).provenance.fingerprint
    probe = SCHEMAS["video_probe"].table([{"episode": OLD}])
    store.write("video_probe", probe, OLD, Provenance(inputs={"video": of_before}))
    os.utime(path, ns=(1, 1))
    carried = carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    assert register(instance, store, settings, carried.sources) == [NEW]
    assert store.episodes("video") == instance.get_dynamic_partitions("episodes") == [NEW]
    assert len(store.read("frame_embeddings__measured", NEW)) == 1
    assert store.pointer("video", NEW).provenance.fingerprint != of_before
    assert store.pointer("video_probe", NEW).provenance.inputs == {"video": of_before}  # so it is made again


def test_a_touched_video_given_by_itself_keeps_the_key_that_its_tree_gave_it(instance, store, settings, tmp_path):
    tree = tmp_path / "t"
    tree.mkdir()
    path = lay(tree / "My Show", "Other - 02.mkv")
    register(instance, store, settings, found_at(tree, store))
    os.utime(path, ns=(1, 1))
    carried = carry_over(instance, store, settings, find_sources([path], owner_in(store, settings)).sources)
    assert register(instance, store, settings, carried.sources) == ["my-show.e02"]
    assert store.episodes("video") == ["my-show.e02"]


def test_the_place_of_a_source_says_more_than_content_that_it_shares_with_another(instance, store, settings, tmp_path):
    lay(tmp_path / "t")
    [source] = found_at(tmp_path / "t", store)
    write_source(store, settings, replace(source, key="another.e01", path=tmp_path / "t" / "gone.mkv"))
    write_source(store, settings, replace(source, key=OLD, fingerprint="of before"))
    carried = carry_over(instance, store, settings, [source])
    assert [note.partition(" is now ")[0] for note in carried.notes] == [OLD]
    assert store.episodes("video") == ["another.e01", NEW]


def test_former_ids_lead_to_those_of_today_over_any_number_of_names(instance, store, settings, tmp_path):
    lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")
    carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    (tmp_path / "t" / FILE).rename(tmp_path / "t" / "Paper Comet S02E01.mkv")
    carried = carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    assert carried.notes == [f"{NEW} is now paper-comet.s02e01 (nothing measured again)"]
    assert former_keys(store, "paper-comet.s02e01") == [OLD, NEW]
    assert current_id(store, f"{OLD}/00001000#head-1-2-3-4") == "paper-comet.s02e01/00001000#head-1-2-3-4"
    assert current_id(store, NEW) == "paper-comet.s02e01"
    assert current_id(store, "other.e01/1") == "other.e01/1"
    assert explain(store, f"{OLD}/00001000").image_id == "paper-comet.s02e01/00001000"
    with pytest.raises(UnknownImage):
        explain(store, "other.e01/00001000")


def test_an_episode_is_taken_out_by_its_former_key_and_its_aliases_go_with_it(instance, store, settings, tmp_path):
    lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")
    register(instance, store, settings, carry_over(instance, store, settings, found_at(tmp_path / "t", store)).sources)
    assert prune(instance, store, settings, [OLD]).removed == [NEW]
    assert current_id(store, OLD) == OLD
    assert prune(instance, store, settings, [OLD]).refused == {OLD: f"{OLD} is no episode of this project"}


@pytest.mark.parametrize("broken", ["add_rows", "write", "forget", "partition"])
def test_a_carrying_over_that_broke_off_is_finished_by_the_next(
    broken, instance, store, settings, tmp_path, monkeypatch
):
    lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")

    def dies(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        target, name = (instance, "delete_dynamic_partition") if broken == "partition" else (store, broken)
        patch.setattr(target, name, dies)
        with pytest.raises(KeyboardInterrupt):
            carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    carried = carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    register(instance, store, settings, carried.sources)
    assert [source.key for source in carried.sources] == [NEW]
    assert instance.get_dynamic_partitions("episodes") == [NEW]
    assert store.assets_of(OLD) == []
    assert len(store.read("frame_embeddings__measured", NEW)) == 1
    again = carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    assert (again.notes, again.waiting) == ([], set())


def test_a_key_with_a_run_in_flight_is_kept_until_the_run_has_ended(instance, store, settings, tmp_path):
    lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")
    run = instance.create_run_for_job(
        dg.GraphDefinition("g", node_defs=[]).to_job(),
        tags={"dagster/partition": OLD, **project_tag(settings)},
        status=dg.DagsterRunStatus.STARTED,
    )
    carried = carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    assert carried.notes == [f"{OLD} becomes {NEW} once run {run.run_id} of {OLD} has ended"]
    assert [source.key for source in carried.sources] == [OLD]
    assert register(instance, store, settings, carried.sources) == []
    assert instance.get_dynamic_partitions("episodes") == [OLD]


def test_a_copy_is_an_episode_of_its_own(instance, store, settings, tmp_path):
    first = lay(tmp_path / "t", "Paper Comet S01E01.mkv")
    register(instance, store, settings, found_at(tmp_path / "t", store))
    copy = lay(tmp_path / "t", "Paper Comet S01E02.mkv")
    os.utime(copy, ns=(first.stat().st_atime_ns, first.stat().st_mtime_ns))
    one, other = found_at(tmp_path / "t", store)
    assert one.fingerprint == other.fingerprint
    carried = carry_over(instance, store, settings, [one, other])
    assert [source.key for source in carried.sources] == ["paper-comet.s01e01", "paper-comet.s01e02"]
    assert carried.notes == []


def test_a_video_given_by_itself_keeps_the_key_that_its_tree_gave_it(instance, store, settings, tmp_path):
    tree = tmp_path / "t"
    tree.mkdir()
    path = lay(tree / "My Show", "Other - 02.mkv")
    register(instance, store, settings, found_at(tree, store))
    assert store.episodes("video") == ["my-show.e02"]
    [alone] = find_sources([path], owner_in(store, settings)).sources
    assert alone.key == "other.e02"
    [kept] = carry_over(instance, store, settings, [alone]).sources
    assert (kept.key, kept.show, kept.episode) == ("my-show.e02", "my-show", "e02")
    assert may_go_by(path, "video", "my-show.e02-0a1b2c3d")
    assert not may_go_by(path, "video", "my-show-2.e02")


def test_a_disk_that_is_away_renames_nothing(instance, store, settings, tmp_path):
    (tmp_path / "disk").mkdir()
    away = lay(tmp_path / "disk" / "t", "Paper Comet S01E01.mkv")
    [source] = found_at(tmp_path / "disk" / "t", store)
    write_source(store, settings, source)
    away.unlink()
    away.parent.rmdir()  # an empty mount point
    there = lay(tmp_path / "disk2", "Paper Comet S01E02.mkv")
    moved = replace(source, key="paper-comet.s01e02", path=there)
    (tmp_path / "disk").rename(tmp_path / "away")
    (tmp_path / "disk").mkdir()
    assert carry_over(instance, store, settings, [moved]).notes == []


def copied_and_away(store: Store, media: Path, inside: str) -> Source:
    """An episode that is known from a disk whose mount point is gone, and a copy of another title on a second disk."""
    known, copy = media / "DISK1" / inside, media / "DISK2" / "Another Title" / "a.mkv"
    copy.parent.mkdir(parents=True)
    [source] = find_sources([lay(copy.parent, copy.name)]).sources
    write_source(store, load_settings(), replace(source, key="show.e01", path=known))
    return replace(source, key="another-title.e01")


@pytest.mark.parametrize("inside", ["Show - 01.mkv", "Show/01.mkv", "Show/Season 1/01.mkv"])
@pytest.mark.parametrize("trees", [(), ("DISK2",), ("DISK1", "DISK2"), ("DISK1", "")])
def test_a_disk_whose_mount_point_is_gone_renames_nothing(inside, trees, instance, store, settings, tmp_path):
    copy = copied_and_away(store, tmp_path / "media", inside)
    trees = [tmp_path / "media" / tree for tree in trees]
    assert carry_over(instance, store, settings, [copy], trees).notes == []
    assert store.episodes("video") == ["show.e01"]


@pytest.mark.parametrize("inside", ["01.mkv", "Show/01.mkv"])
def test_a_folder_of_disks_does_not_tell_that_a_source_on_one_of_them_is_gone(
    inside, instance, store, settings, tmp_path, monkeypatch
):
    media = tmp_path / "media"
    copy = copied_and_away(store, media, inside)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == media / "DISK2")
    assert carry_over(instance, store, settings, [copy], [media]).notes == []


@pytest.mark.parametrize("inside", ["", "Season 1"])
def test_a_folder_that_is_renamed_in_its_tree_takes_its_episodes_along(inside, instance, store, settings, tmp_path):
    tree = tmp_path / "t"
    (tree / "Nice Show" / inside).mkdir(parents=True)
    lay(tree / "Nice Show" / inside, "Ep - 01.mkv")
    register(instance, store, settings, found_at(tree, store))
    [before] = store.episodes("video")
    (tree / "Nice Show").rename(tree / "Other Show")
    carried = carry_over(instance, store, settings, found_at(tree, store), [tree])
    assert carried.notes == [f"{before} is now {before.replace('nice', 'other')} (nothing measured again)"]


def test_a_file_that_is_renamed_beside_others_needs_no_tree(instance, store, settings, tmp_path):
    path = lay(tmp_path / "t", "Paper Comet S01E01.mkv")
    register(instance, store, settings, found_at(tmp_path / "t", store))
    path.rename(path.with_name("Paper Comet S01E02.mkv"))
    carried = carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    assert carried.notes == ["paper-comet.s01e01 is now paper-comet.s01e02 (nothing measured again)"]


def test_partitions_of_former_keys_leave_every_instance(instance, store, settings, tmp_path):
    lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")
    carry_over(instance, store, settings, found_at(tmp_path / "t", store))
    with dg.DagsterInstance.ephemeral() as other:
        other.add_dynamic_partitions("episodes", [OLD, "unknown.e01"])
        register(other, store, settings, carry_over(other, store, settings, found_at(tmp_path / "t", store)).sources)
        assert set(other.get_dynamic_partitions("episodes")) == {NEW, "unknown.e01"}


def test_status_does_not_ask_for_the_sources_of_former_keys(instance, store, settings, tmp_path):
    lay(tmp_path / "t")
    earlier_version(instance, store, settings, tmp_path / "t")
    register(instance, store, settings, carry_over(instance, store, settings, found_at(tmp_path / "t", store)).sources)
    roles = {role for declaration in DECLARATIONS.values() for role in declaration.models}
    found = status_of(settings, store, instance, dict.fromkeys(roles, "w"))
    assert found.episodes == (NEW,)
    assert not any("does not know" in note for note in found.notes)
