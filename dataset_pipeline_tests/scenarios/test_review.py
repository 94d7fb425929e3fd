"""A person reviews a drawn show on the page, and the next run makes of it what the page said at once."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.review.facts import NothingToReview
from dataset_pipeline.review.project import Project as Reviewed
from dataset_pipeline.review.runs import command_of
from dataset_pipeline.review.telling import project_told, still_told
from dataset_pipeline_tests.scenarios.conftest import Project, new_project

MIN_AGREEMENT = 0.98  # of crops, between what the page says at once and what the run makes of it
SETTINGS = """
models = {{ pack = "demo", device = "cpu" }}
crops = {{ person_min_side_px = 80, head_min_side_px = 64 }}
selection = {{ min_short_side_px = 64 }}
text_lines = {{ long_side_px = 320 }}
store = {{ root = "{root}/store" }}
exported_set = {{ root = "{root}/exports" }}
corrections = {{ root = "{root}/corrections" }}
"""


def reviewed(project: Project) -> Reviewed:
    settings = project.settings()
    (project.root / "settings.toml").write_text(SETTINGS.format(root=project.root.as_posix()))
    return Reviewed(settings, model_resources(settings)["identity"], command_of("", project.root / "settings.toml"))


def shown(page: Reviewed) -> dict[str, str | None]:
    """Who the page says is on each crop."""
    view, now = page.session.view, page.session.now
    return {
        crop: view.characters[int(owner)] if owner >= 0 else None
        for tile, owner in zip(view.tiles, now.owner, strict=True)
        for crop in tile.crops
    }


def test_what_is_said_on_the_page_is_what_the_run_that_it_starts_makes_of_it(
    copy_of_finished: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGSTER_HOME", str(copy_of_finished.root / "dagster"))
    page = reviewed(copy_of_finished)
    session, view = page.session, page.session.view
    untouched = shown(page)
    assert {crop: who for crop, who in untouched.items() if who} == {
        row["image_id"]: row["characters"][0]
        for row in copy_of_finished.rows("clusters")
        if row["characters"] and row["image_id"] in untouched
    }
    first, second = sorted(session.now.people, key=lambda it: -(session.now.owner == view.characters.index(it)).sum())[
        :2
    ]
    ours = np.flatnonzero(session.now.owner == view.characters.index(first)).tolist()
    moved, refused, rejected = ours[3], ours[5], ours[7]
    session.act({"do": "rename", "character": first, "name": "Fern, the mage"})
    session.act({"do": "assign", "tiles": [moved], "character": second})
    session.act({"do": "not", "tiles": [refused], "character": first})
    session.act({"do": "confirm", "tiles": view.asked_next(session.now, 5)})
    session.act({"do": "reject", "tiles": [rejected]})
    session.act({"do": "tags", "images": [view.tiles[ours[0]].cover], "add": ["wide hat"]})
    said = shown(page)
    assert said != untouched

    page.start_run()
    with pytest.raises(ValueError, match="under way"):
        page.start_run()
    end = time.monotonic() + 280
    while (run := page.run.told())["state"] == "running" and time.monotonic() < end:
        time.sleep(0.5)
    assert run["state"] == "done", run
    assert run["graph"]["done"] <= run["graph"]["total"]
    (calls,) = (line for line in run["lines"] if "pictures through models" in line)
    assert ", 0 pictures through models" in calls

    found = {row["image_id"]: (row["characters"] or [None])[0] for row in copy_of_finished.rows("clusters")}
    agree = [found[crop] == who for crop, who in said.items()]
    print(f"the page and the run agree on {sum(agree)} of {len(agree)} crops")
    assert np.mean(agree) >= MIN_AGREEMENT
    assert all(found[crop] == second for crop in view.tiles[moved].crops)
    assert all(found[crop] != first for crop in view.tiles[refused].crops)
    told = still_told(session, page.store, view.tiles[ours[0]].cover)
    assert "wide hat" in next(it["tags"] for it in told["crops"] if it["id"] == view.tiles[ours[0]].cover)
    captions = [row["caption"] for row in copy_of_finished.rows("captions") if "Fern, the mage" in row["characters"]]
    assert captions
    assert all("Fern the mage" in caption for caption in captions)

    page.read_again()  # what was said is in the tables by now, and taken back all the same
    assert shown(page) == said
    while page.session.own:
        page.session.undo()
    assert shown(page) == untouched
    assert project_told(page.session)["undo"] == 0


def test_a_project_in_which_nothing_was_run_is_told_what_to_do(tmp_path: Path):
    project = new_project(tmp_path / "empty")
    with pytest.raises(NothingToReview, match="dataset-pipeline run"):
        reviewed(project)
