"""The spine: episodes in, an arranged set out, everything accounted for, nothing done twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from dataset_pipeline.base.ids import episode_of, file_name, kind_of_span, pts_ms_of, span_ms_of
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.resize import decode
from dataset_pipeline.orchestration.prune import prune
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.reports.explain import explain, image_of
from dataset_pipeline.reports.run_report import account
from dataset_pipeline.reports.set_diff.sides import compare, side_of_folder, side_of_store
from dataset_pipeline.training.exporters import export
from dataset_pipeline.training.exporters.remake import rebalance, recaption
from dataset_pipeline.training.set_diff.diff import SetDiff
from dataset_pipeline.video.decode import frames_at


def test_every_exported_picture_opens_and_has_one_line_of_text(finished):
    folder = finished.exported_folder
    pictures = sorted(folder.rglob("*.webp"))
    assert len(pictures) == len(finished.rows("training_set")) >= 30
    for picture in pictures:
        assert min(decode(picture.read_bytes()).shape[:2]) >= 64
        caption = picture.with_suffix(".txt").read_text(encoding="utf-8")
        assert caption.strip()
        assert len(caption.splitlines()) == 1
    for concept in {picture.parent for picture in pictures}:
        assert float((concept / "multiply.txt").read_text()) >= 1.0
        assert concept.parent.name.split("_")[1] in ("character", "characters")


def test_every_extracted_frame_is_accounted_for(finished):
    stages: Counter = Counter()
    counts = {}
    for stage, reason, images in account(finished.store, finished.store.episodes("selection")):
        stages[stage] += images
        counts[stage, reason] = images
    assert stages["frames"] == len(finished.rows("keyframes"))
    stitched = counts["panoramas and plates", "kept"]
    assert stages["images"] == counts["frames", "kept"] + stitched + counts["crops", "kept"]
    assert stages["set"] == counts["set", "in the set"] == counts["images", "selected"]
    duplicates = [row for row in finished.rows("distinct_frames") if row["reason"] == "duplicate"]
    kept = {row["image_id"] for row in finished.rows("distinct_frames") if row["kept"]}
    assert duplicates
    assert {row["group"] for row in duplicates} <= kept


def test_the_set_says_that_demo_models_made_it(finished):
    manifest = json.loads((finished.exported_folder / "manifest.json").read_text())
    assert manifest["about"]["made_with_demo_models"] is True
    pointer = finished.store.pointer("training_set")
    assert pointer is not None
    assert pointer.provenance.demo is True


def test_a_rerun_changes_nothing_and_calls_no_model(copy_of_finished, drawn_show):
    before = tables_of(copy_of_finished)
    outcome, calls = copy_of_finished.run(drawn_show.folder)
    assert not outcome.failures
    assert calls == {}
    assert outcome.runs == sum(phase.joined for phase in phases())
    assert tables_of(copy_of_finished) == before


def test_what_dagster_has_forgotten_is_told_it_again_without_any_model(copy_of_finished, drawn_show):
    before = tables_of(copy_of_finished)
    shutil.rmtree(copy_of_finished.root / "dagster")
    outcome, calls = copy_of_finished.run(drawn_show.folder)
    assert not outcome.failures
    assert calls == {}
    assert tables_of(copy_of_finished) == before
    with dg.DagsterInstance.from_config(str(copy_of_finished.root / "dagster")) as instance:
        for asset in ("keyframes", "tag_scores", "clusters", "captions"):
            assert instance.get_materialized_partitions(dg.AssetKey(["demo", asset])) == set(outcome.registered)


def test_a_larger_minimum_crop_calls_no_model_and_neither_does_the_way_back(copy_of_finished, drawn_show):
    crops_before = sum(row["kept"] for row in copy_of_finished.rows("crops"))
    before = tables_of(copy_of_finished)
    exported = copy_of_finished.exported_folder
    _, calls = copy_of_finished.run(drawn_show.folder, crops__person_min_side_px=120)
    assert calls == {}
    for old, new in ((set_before(copy_of_finished, before), "current"), (exported, copy_of_finished.exported_folder)):
        found = differences(copy_of_finished, old, new)
        gone = found.of("left")
        small = [it for it in gone if it.reason.what == "too small a crop"]
        assert len(small) >= 5
        assert {it.reason.causes for it in found.differences} == {("[crops] person_min_side_px 80 -> 120",)}
        assert {it.image_id for it in small} == {it.image_id for it in gone if "#person" in it.image_id}
    assert 0 < sum(row["kept"] for row in copy_of_finished.rows("crops")) < crops_before
    _, calls = copy_of_finished.run(drawn_show.folder)
    assert calls == {}
    assert tables_of(copy_of_finished) == before


def differences(project, *sides: Path | str) -> SetDiff:
    """Between two exported folders of a project, or two sets of its store."""
    store, settings = project.store, project.settings()
    read = (side_of_folder(it, [store]) if isinstance(it, Path) else side_of_store(store, it, settings) for it in sides)
    return compare(*read)


def set_before(project, tables: dict[str, str]) -> str:
    """The name of the set that was current when these were the tables."""
    return Path(tables["training_set/_all"]).stem


@pytest.mark.thorough
def test_two_runs_in_two_folders_give_the_same_bytes(finished, drawn_show, fresh):
    episodes = list(reversed(drawn_show.episodes))
    outcome, _ = fresh.run(*episodes)
    assert not outcome.failures
    assert tables_of(fresh) == tables_of(finished)
    ours, theirs = finished.exported_folder, fresh.exported_folder
    assert ours.name == theirs.name
    for path in ours.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (theirs / path.relative_to(ours)).read_bytes()


def tables_of(project) -> dict[str, str]:
    """The current table's file, named by its content, by asset and episode."""
    root = project.root / "store"
    files = (json.loads(path.read_text())["file"] for path in sorted(root.glob("_pointers/*/*.json")))
    return {file.rpartition("/")[0]: file for file in files}


def test_explain_leads_from_a_picture_back_to_its_second_and_box(finished, drawn_show):
    folder = finished.exported_folder
    by_id = {row["image_id"]: row for row in finished.rows("selection")}
    keyframes = {row["image_id"]: row for row in finished.rows("keyframes")}
    stills = {row["image_id"]: row for row in finished.rows("distinct_frames")}
    pictures = [path for path in sorted(folder.rglob("*.webp")) if not kind_of_span(image_of(str(path)))]
    for picture in pictures[:: max(1, len(pictures) // 6)]:
        told = explain(finished.store, image_of(str(picture)))
        assert told.image_id in by_id
        assert told.made_with_demo_models
        assert told.second_s == pytest.approx(keyframes[told.still_id]["pts_s"])
        assert {"distinct_frames", "selection", "captions", "multiplies"} <= {d.asset for d in told.decisions}
        assert any(model["sha256"] for d in told.decisions for model in d.models)
        [(_, frame)] = frames_at(Path(told.source), [keyframes[told.still_id]["pts"]])
        still = decode(finished.store.read_picture(stills[told.still_id]["path"]))
        assert np.array_equal(frame, still)
        if told.box_px:
            x0, y0, x1, y1 = told.box_px
            crop = decode(finished.store.read_picture(by_id[told.image_id]["path"]))
            assert np.array_equal(crop, still[y0:y1, x0:x1])


def test_the_pan_of_each_episode_is_in_the_set_as_a_panorama_with_a_caption_beside_its_frames(finished):
    rows = {row["image_id"]: row for row in finished.rows("training_set") if row["kind"] == "still"}
    pans = {image: row for image, row in rows.items() if kind_of_span(image) == "panorama"}
    assert len({row["episode"] for row in pans.values()}) == 3
    for image, row in pans.items():
        assert row["width_px"] > 3 * row["height_px"]
        assert row["caption"]
        first, last = span_ms_of(image) or (0, 0)
        assert any(span_ms_of(it) == (ms, ms) for it in rows for ms in [pts_ms_of(it)] if ms and first <= ms <= last)
        told = explain(finished.store, image)
        assert (told.second_s, told.end_s) == (
            pytest.approx(first / 1000, abs=1e-3),
            pytest.approx(last / 1000, abs=1e-3),
        )
        assert {"alignments", "panoramas", "stills", "selection", "captions"} <= {it.asset for it in told.decisions}


def test_the_first_run_shows_every_picture_to_the_models_once(finished):
    """Otherwise the counts of zero above would prove nothing."""
    stitched = sum(row["verdict"] == "keep" for row in finished.rows("panoramas"))
    stills = stitched + sum(row["kept"] for row in finished.rows("distinct_frames"))
    images = stills + sum(row["kept"] for row in finished.rows("crops"))
    people = sum(row["kept"] and row["kind"] in ("person", "head") for row in finished.rows("crops"))
    assert finished.first_calls == {
        "embedder.pictures": len(finished.rows("keyframes")) + stitched,
        "detector.pictures": 5 * stills,
        "identity.pictures": people,
        "quality.pictures": images,
        "tagger.pictures": images,
        "text_detector.pictures": stills,
    }


def test_one_episode_that_fails_leaves_the_others_and_the_joins_alone(copy_of_finished, drawn_show, monkeypatch):
    measure = Step.measure

    def failing(step, role, *arguments, **more):
        if role == "tagger" and step.episode.endswith("e02"):
            raise RuntimeError("the disk is on fire")
        return measure(step, role, *arguments, **more)

    monkeypatch.setattr(Step, "measure", failing)
    outcome, _ = copy_of_finished.run(*drawn_show.episodes[:2], tag_scores__score_floor=0.06)
    assert {(failure.asset, failure.episode[-3:]) for failure in outcome.failures} == {("tag_scores", "e02")}
    assert outcome.failures[0].error.endswith("the disk is on fire")
    assert copy_of_finished.exported_folder.is_dir()
    assert {row["episode"][-3:] for row in copy_of_finished.rows("training_set")} == {"e01", "e02", "e03"}


def test_demo_and_real_results_never_share_a_store(finished):
    from dataset_pipeline.graph.project import mixing_fault

    assert mixing_fault(finished.settings(), finished.store) == ""
    assert "demo" in mixing_fault(finished.settings(models__pack="real"), finished.store)


def test_an_exported_folder_can_be_made_anew_by_itself(finished, tmp_path: Path):
    folder = tmp_path / "set"
    shutil.copytree(finished.exported_folder, folder)
    first = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert differences(finished, finished.exported_folder, folder).same
    assert differences(finished, folder, "current").same
    assert (recaption(folder, {}).written, rebalance(folder, {}).written) == (0, 0)
    assert len(recaption(folder, {"template": "sentence"}).captions) == finished.store.read("training_set").num_rows
    [(reason, changed)] = differences(finished, finished.exported_folder, folder).by_reason("caption")
    assert reason == 'other caption settings, since [captions] template "booru" -> "sentence"'
    assert len(changed) == finished.store.read("training_set").num_rows
    recaption(folder, {"template": "booru"})
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == first
    embeddings = json.loads((folder / "emb_init.json").read_text("utf-8"))
    assert embeddings.keys() == {row["character"] for row in finished.rows("core_tags")} | {"screenshots"}


def test_for_kohya_the_metadata_of_every_image_holds_its_whole_caption_with_its_tags(finished, tmp_path: Path):
    store = finished.store
    rows = store.read("training_set").to_pylist()
    folder = export("kohya", rows, store.read_picture, tmp_path, {}, store.local_path).folder
    found = [json.loads(path.read_text("utf-8")) for path in folder.glob("metadata/*.json")]
    said = {Path(place).stem: entry for entries in found for place, entry in entries.items()}
    assert all((folder / place).is_file() for entries in found for place in entries)
    assert len(said) == len(rows)
    for row in rows:
        entry = said[file_name(row["image_id"])]
        assert entry["caption"] == row["caption"]
        assert {tag.replace("_", " ") for tag in row["tags"]} <= set(entry["caption"].split(", "))
        assert "tags" not in entry


def test_an_earlier_episode_that_arrives_later_moves_no_image_to_another_character(
    finished, copy_of_finished, drawn_show
):
    new, later = min(drawn_show.truths), copy_of_finished
    forget_all_of(new, later)
    outcome, calls = later.run(*drawn_show.episodes[1:])
    assert (outcome.failures, calls) == ([], {})
    assert new not in {row["episode"] for row in later.rows("training_set")}
    characters = {row["image_id"]: row["characters"] for row in later.rows("clusters") if row["characters"]}
    concepts = {row["image_id"]: row["concept"] for row in later.rows("training_set")}
    ids = {row["character"] for row in later.rows("character_gallery")}
    before = tables_of(later)
    log = {path: path.read_bytes() for path in (later.root / "store" / "_identities").rglob("*.json")}
    assert len(ids) >= 3
    assert len(log) == len(ids)

    for folder in (finished.root / "store").glob(f"*/{new}"):  # as it was measured
        shutil.copytree(folder, later.root / "store" / folder.parent.name / new, dirs_exist_ok=True)
    for pointer in (finished.root / "store").glob(f"_pointers/*/{new}.json"):
        shutil.copy(pointer, later.root / "store" / "_pointers" / pointer.parent.name)
    outcome, calls = later.run(*drawn_show.episodes)
    assert (outcome.failures, calls) == ([], {})
    assert {row["character"] for row in later.rows("character_gallery")} >= ids
    assert all(path.read_bytes() == event for path, event in log.items())
    after = {row["image_id"]: row for row in later.rows("clusters")}
    assert {image: after[image]["characters"] for image in characters} == characters
    in_set = {row["image_id"]: row for row in later.rows("training_set")}
    both = concepts.keys() & in_set.keys()
    assert len(both) >= 0.9 * len(concepts)
    assert {image: in_set[image]["concept"] for image in both} == {image: concepts[image] for image in both}

    found = differences(later, set_before(later, before), "current")
    assert {it.reason.sentence for it in found.of("came") if episode_of(it.image_id) == new} == {
        f"episode {new} is new"
    }
    assert all(
        f"episode {new} is new" in it.reason.causes for it in found.differences if episode_of(it.image_id) != new
    )
    assert len(found.of("came")) >= len(in_set) / 5


def forget_all_of(episode: str, project) -> None:
    """As if it had never been there: without what was joined with it, and without the characters found by it."""
    with dg.DagsterInstance.from_config(str(project.root / "dagster")) as instance:
        assert prune(instance, project.store, project.settings(), [episode]).removed == [episode]
    shutil.rmtree(project.root / "store" / "_identities")
    for folder in (project.root / "store").glob("*/_all"):
        shutil.rmtree(folder)
    for pointer in (project.root / "store").glob("_pointers/*/_all.json"):
        pointer.unlink()
