"""`export` as a person types it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.exporters.image_set import CAPTION_FIELDS
from dataset_pipeline_tests.cli.project import PIXEL


def test_a_folder_that_somebody_changed_is_named_by_the_next_export(project):
    path = project.store.put_picture("training_images", "one.one", "one.one/00000001", PIXEL, "png")
    row = {"image_id": "one.one/00000001", "episode": "one.one", "show": "one", "kind": "still", "characters": ["fern"]}
    row |= {"concept": "1_character/fern", "multiply": 1.0, "caption": "fern", "quality": 0.5, "path": path}
    row |= {"width_px": 1, "height_px": 1, "file_sha256": hashlib.sha256(PIXEL).hexdigest()}
    project.store.write(
        "training_set", SCHEMAS["training_set"].table([CAPTION_FIELDS | row]), None, Provenance(demo=True)
    )
    for asset in ("core_tags", "character_gallery"):
        project.store.write(asset, SCHEMAS[asset].empty(), None, Provenance(demo=True))
    code, output, errors = project.command("export", "plain")
    assert (code, errors) == (0, "")
    folder = Path(output.splitlines()[-1])
    (folder / "notes.txt").write_text("mine")
    code, output, errors = project.command("export", "plain", "--json")
    assert (code, Path(json.loads(output)["folder"]).name) == (0, f"{folder.name}-2")
    assert "Somebody changed what was exported before, so that was left alone:" in errors
    assert f"- {folder.name}: notes.txt added" in errors
