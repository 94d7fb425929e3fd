"""Questions asked of a store, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataset_pipeline.cli.app import app
from dataset_pipeline.reports.find import find
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.settings.query import QueryError
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

THRESHOLDS = load_settings(resources_folder() / "settings.toml").tag_thresholds
MEASURED = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}
TAGS = {
    "a.e1/00000001": {"1girl": 0.9, "red_hair": 0.5},
    "a.e1/00000002": {"1girl": 0.9, "1boy": 0.9},
    "b.e1/00000001": {"1girl": 0.3},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))

    def write(asset: str, rows: list[dict], episode: str) -> None:
        store.write(asset, SCHEMAS[asset].table(rows), episode, Provenance(demo=True))

    for episode in ("a.e1", "b.e1"):
        ids = [image_id for image_id in TAGS if image_id.startswith(episode)]
        scored = {
            image_id: [{"tag": tag, "category": "general", "score": score} for tag, score in TAGS[image_id].items()]
            for image_id in ids
        }
        write("tag_scores", [{"image_id": i, **MEASURED, "tags": scored[i]} for i in ids], episode)
    write("clusters", [{"image_id": "a.e1/00000001", "characters": ["fern"]}], "a.e1")
    write("quality_scores", [{"image_id": i, **MEASURED, "score": 0.7} for i in TAGS if i.startswith("a")], "a.e1")
    path = store.put_picture("distinct_frames", "a.e1", "a.e1/00000001", b"picture", "png")
    write("images", [{"image_id": "a.e1/00000001", "path": path}], "a.e1")
    write("hand_edited_tags", [{"image_id": "b.e1/00000001", "file": "x.txt", "tags": ["my tag"]}], "b.e1")
    return store


def ids(store: Store, question: str) -> list[str]:
    return [match.image_id for match in find(store, question, THRESHOLDS)]


def test_images_are_found_over_all_episodes_with_the_path_of_their_picture(store: Store):
    assert ids(store, "1girl") == ["a.e1/00000001", "a.e1/00000002"]
    [match] = find(store, "1girl and not 1boy", THRESHOLDS)
    assert Path(match.path).read_bytes() == b"picture"


def test_characters_quality_and_what_a_person_wrote_can_be_asked_for(store: Store):
    assert ids(store, "character:fern") == ["a.e1/00000001"]
    assert ids(store, "quality > 0.5 and 1boy") == ["a.e1/00000002"]
    assert ids(store, "my_tag") == ["b.e1/00000001"]
    assert ids(store, "1girl >= 0.3 and not 1girl") == []


def test_a_question_that_cannot_be_understood_is_refused_before_anything_is_read(store: Store):
    with pytest.raises(QueryError, match="at 7: expected"):
        find(store, "1girl (", THRESHOLDS)


def test_the_command_prints_a_line_for_each_image(store: Store, tmp_path: Path):
    overlay = tmp_path / "mine.toml"
    overlay.write_text(f'[store]\nroot = "{store.root}"\n')

    def said(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["find", *arguments, "--settings", str(overlay)])
        return result.exit_code, result.stdout

    code, text = said("1girl and red hair")
    assert code == 0
    assert text.splitlines()[0].startswith("a.e1/00000001\t/")
    assert [match["image_id"] for match in json.loads(said("1girl", "--json")[1])] == [*TAGS][:2]
    assert said("1girl and")[0] == 1
