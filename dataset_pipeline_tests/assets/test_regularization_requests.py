"""What the captions of a training set ask for, read from the tables as they are stored."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import dataset_pipeline.assets.regularization  # noqa: F401  (which declares the asset)
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.regularization.rows import training_row

CLASS = {"name": "girl", "source": "captions", "class_word": "1girl"}
SETTINGS = load_settings(resources_folder() / "settings.toml", regularization__classes=[CLASS])


def test_mirrors_say_what_the_name_of_a_character_stood_for_on_their_image(tmp_path: Path):
    """Core tags bear the id of the gallery and captions the name; purple hair is seen on the first image alone."""
    store = Store(str(tmp_path))
    ids = [f"show.e1/{at:08d}" for at in (1, 2)]
    said = {"people": "1girl", "n_people": 1, "tags": ["smile"], "kind": "person", "characters": ["fern"]}
    answers = [[{"tag": tag, "category": "general", "score": 0.9}] for tag in ("purple_hair", "hat")]
    tables = {
        "training_set": [training_row(image_id, **said) for image_id in ids],
        "core_tags": [{"show": "show", "character": "c-1", "tags": ["purple_hair"], "shares": [0.9], "images": 9}],
        "character_gallery": [{"character": "c-1", "show": "show", "name": "fern"}],
        "tag_scores": [{"image_id": it, "tags": tags} for it, tags in zip(ids, answers, strict=True)],
    }
    for asset, rows in tables.items():
        episode = "show.e1" if asset == "tag_scores" else None
        store.write(asset, SCHEMAS[asset].table(rows), episode, Provenance())
    generator = SimpleNamespace(native_side_px=lambda: 512)
    resources = SimpleNamespace(store=store, settings=SETTINGS, generator=generator)
    made = ASSETS["regularization_requests"].under(SETTINGS)
    rows = made.function(Step(made.declaration, resources, "girl", None, ["show.e1"])).table.to_pylist()
    assert {row["mirrors"]: (row["caption"], row["width_px"], row["height_px"]) for row in rows} == {
        ids[0]: ("1girl, purple hair, smile", 680, 384),
        ids[1]: ("1girl, smile", 680, 384),
    }
