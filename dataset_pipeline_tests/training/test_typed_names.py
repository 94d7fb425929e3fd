"""Names as people type them: safe in every folder, whole in every caption, and never taken for several names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from dataset_pipeline.base.file_names import safe_folder, safe_name
from dataset_pipeline.base.paths import fault_of_path
from dataset_pipeline.base.tag_words import words
from dataset_pipeline.characters.names import as_said, named, names_by_id, parse_character, stored_names, without_bars
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.settings.query import parse
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.tags.captions import CaptionSources, caption_fields
from dataset_pipeline.tags.core import emb_init, wildcard
from dataset_pipeline.tags.filter import subject_of
from dataset_pipeline.tags.templates import KEEP_MARK, render
from dataset_pipeline.training.arrangement import arrange
from dataset_pipeline.training.exporters import PROFILES, export
from dataset_pipeline.training.exporters.hydrus import tags_of
from dataset_pipeline.training.selection import select

SETTINGS = load_settings(resources_folder() / "settings.toml")
RULES = load_rules(SETTINGS.tag_rules)
IMAGE = "show.e1/00000001"
NAMES = [
    "Fern",
    "fern",
    "Fern, the mage",
    "a/b",
    "a\\b",
    "..",
    "../../etc",
    ".hidden",
    "Dr. X.",
    "trailing. ",
    "🧙‍♀️ Frieren 🪄",
    "x" * 300,
    "長" * 300,
    "CON",
    "nul.txt",
    "com¹",
    "aux .tar.gz",
    "thumbs.db",
    "פֶרְן שֶׁל שַׁחַר",
    "فيرن",
    "\u202egpj.Fern",
    "a|b",
    "|||",
    "a|||b",
    "Rock+Roll",
    "none",
    "a: b",
    '"quoted" <b>&amp;</b>',
    "{x} [y] $z %s #1 `t`",
    "e\u0301",
    "é",
]


def gallery(names: list[str]) -> pa.Table:
    return pa.table({"character": [f"c-{i:08d}" for i in range(len(names))], "name": names})


@pytest.mark.parametrize("name", NAMES)
def test_a_typed_name_is_shown_as_typed_and_stored_as_one_that_is_never_torn_apart(name: str):
    table = gallery([name])
    assert names_by_id(table) == {"c-00000000": name}
    (stored,) = stored_names(table).values()
    assert parse_character(stored).name == stored
    assert stored.replace(" ", "") == (name.replace("|", "").replace(" ", "") or "c-00000000")


@pytest.mark.parametrize("template", ["booru", "components", "sentence"])
@pytest.mark.parametrize("separator", [", ", " | ", "; "])
@pytest.mark.parametrize("name", NAMES)
def test_a_caption_says_a_name_without_what_separates_its_parts(name: str, separator: str, template: str):
    changes = {"template": template, "separator": separator, "keep_mark": KEEP_MARK, "order": ["character", "tags"]}
    captions = SETTINGS.captions.model_copy(update=changes)
    (stored,) = stored_names(gallery([name])).values()
    row = {"image_id": IMAGE, "kind": "head", "characters": ["c-1"], "quality": 0.5}
    said = CaptionSources({IMAGE: {"tags": ["smile"]}}, {IMAGE: named(["c-1"], {"c-1": stored})})
    caption = render(caption_fields(row, said, "Show", captions), captions, RULES)
    assert len(caption.splitlines()) == 1
    spoken = as_said(stored).replace("_", " ")
    for mark in {separator.strip(), KEEP_MARK}:
        spoken = " ".join(spoken.replace(mark, " ").split())
    assert spoken in " ".join(caption.split())
    if template == "booru":
        assert caption.partition(f" {KEEP_MARK} ")[0] == spoken
        assert caption.count(KEEP_MARK) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_a_name_is_one_that_every_system_takes(name: str):
    for folder in (safe_folder(name), safe_name(name)):
        assert not folder or not fault_of_path(folder)
        assert "/" not in folder
    assert safe_folder(name)
    assert len(safe_folder(name).encode()) <= 200


def concepts(*arrangement: str) -> dict[str, str]:
    stored = stored_names(gallery(NAMES))
    rows = [
        {"image_id": f"show.e1/{number:08d}{i}", "characters": [name], "n_people": 1, "n_faces": 1}
        for number, name in enumerate(stored.values())
        for i in range(20)
    ]
    changes = {"arrangement": list(arrangement), "min_images_per_combination": 2}
    return arrange(rows, SETTINGS.concept_balance.model_copy(update=changes))


def test_every_name_gets_a_concept_that_no_other_takes_for_its_own():
    found = concepts("n_characters", "character")
    assert all(not fault_of_path(path) for path in found.values())
    assert not [path for path in found.values() if path.startswith("0_") or path.endswith("_others")]
    lower = {path.casefold() for path in found.values()}
    assert len(lower) == len(set(found.values()))
    # `a/b`, `a\b` and the like become one folder; nobody else shares.
    assert len(lower) >= len(NAMES) - 4
    assert concepts("character_string").keys() == found.keys()


@pytest.mark.parametrize("profile", PROFILES)
def test_every_trainer_gets_files_with_such_names(profile: str, tmp_path: Path):
    found = sorted(set(concepts("n_characters", "character").values()))
    picture = b"RIFF" + bytes(40)
    rows = [
        {
            "image_id": f"show.e1/{number:08d}",
            "episode": "show.e1",
            "show": "show",
            "kind": "still",
            "characters": [name],
            "tags": ["smile"],
            "concept": concept,
            "multiply": 1.0,
            "caption": as_said(name),
            "quality": 0.5,
            "path": f"training_images/{number}.webp",
            "width_px": 64,
            "height_px": 48,
            "file_sha256": hashlib.sha256(picture).hexdigest(),
        }
        for number, (name, concept) in enumerate(zip(stored_names(gallery(NAMES)).values(), found, strict=False))
    ]
    report = export(profile, rows, lambda _: picture, tmp_path, {"made_with_demo_models": False, "models": []})
    assert report.images == len(rows)
    files = [it.relative_to(report.folder).as_posix() for it in report.folder.rglob("*") if it.is_file()]
    assert not [file for file in files if fault_of_path(file)]


def test_a_name_with_a_comma_is_one_line_of_the_wildcards_and_one_prompt():
    core = [{"show": "s", "character": "Fern, the mage", "tags": ["long_hair"], "shares": [0.9], "images": 3}]
    assert wildcard(core, RULES).decode().splitlines() == ["Fern the mage", "Fern the mage, long hair"]
    assert '"Fern the mage": [' in emb_init(core, RULES).decode()


@pytest.mark.parametrize("name", NAMES)
def test_a_sidecar_of_hydrus_has_the_name_in_one_tag(name: str):
    from dataset_pipeline.training.exporters.image_set import Picture

    class Row(Picture):
        def __init__(self) -> None:
            pass

        row = {"series": ["s"], "characters": list(stored_names(gallery([name])).values())}  # noqa: RUF012
        tags = ()

    first, *others = tags_of(Row())
    assert first == f"character:{' '.join(stored_names(gallery([name]))['c-00000000'].split())}"
    assert others == ["series:s"]


@pytest.mark.parametrize("name", [name for name in NAMES if '"' not in name and without_bars(name)])
def test_a_question_finds_a_name_as_it_was_typed(name: str):
    (stored,) = stored_names(gallery([name])).values()
    subject = subject_of([], {}, ["c-1", stored], None, "")
    assert parse(f'character:"{name}"')(subject)
    assert parse("character:c-1")(subject)
    assert words(without_bars(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_choose_characters_by_name_or_id(name: str):
    image = {
        "image_id": IMAGE, "still_id": IMAGE, "kind": "still", "width_px": 900, "height_px": 900,
        "still_share": None, "path": "p", "pixel_sha256": "h",
    }  # fmt: skip
    for wanted, reason in ((name, "selected"), ("c-1", "selected"), ("Stark", "character_not_wanted")):
        settings = SETTINGS.selection.model_copy(update={"characters": [wanted]})
        rows = select([image], {IMAGE: 0.9}, {IMAGE: ["c-1"]}, settings, names={"c-1": name})
        assert rows[0]["reason"] == reason


def test_two_characters_of_one_typed_name_are_one_in_captions_and_folders():
    names = stored_names(gallery(["Fern", "Fern"]))
    assert named(names, names) == ["Fern"]
