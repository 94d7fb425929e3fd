"""Exported folders as sides of a comparison, read with suspicion, and the page, which escapes whatever is put in."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jinja2 import nodes

from dataset_pipeline.reports.set_diff import page as page_module
from dataset_pipeline.reports.set_diff.page import TEMPLATES, environment, page
from dataset_pipeline.reports.set_diff.sides import compare, side_of_folder
from dataset_pipeline.reports.set_diff.text import headline, lines
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.lineage import JOINED, Lineage, Made
from dataset_pipeline.training.exporters import ExportError
from dataset_pipeline.training.exporters.remake import rebalance, recaption
from dataset_pipeline.training.set_diff.changes import Reason
from dataset_pipeline.training.set_diff.concepts import Concept, ConceptChange
from dataset_pipeline.training.set_diff.diff import CAPTION, KINDS, LEFT, SIZE, Difference, SetDiff
from dataset_pipeline_tests.training.exporters.conftest import ABOUT, SampleSet

SETTINGS = load_settings(DEFAULTS)
RECIPE = {
    "captions": SETTINGS.captions.counted(),
    "balance": SETTINGS.concept_balance.counted(),
    "tag_kinds": {"hair": ["long_hair"]},
}
SAID = {"characters": ["fern"], "people": "1girl", "tags": ["long_hair", "smile"], "show_title": "A"}


def about(**changes: Any) -> dict[str, Any]:
    """What the manifest of a set says that was made by the default settings but for changes."""
    settings = load_settings(DEFAULTS, **changes)
    steps = {
        name: {JOINED: Made("1", {name: getattr(settings, name).counted()})}
        for name in ("selection", "distinct_frames", "captions", "concept_balance")
    }
    return {**ABOUT, "lineage": Lineage({"show.e1": "v1"}, steps).to_json()}


def sample(count: int = 3) -> SampleSet:
    made = SampleSet()
    for number in range(count):
        made.add(number, caption="1girl, fern, long hair, smile", multiply=1.0, quality=number / 10, **SAID)
    return made


def exported(root: Path, made: SampleSet, profile: str = "plain", **changes: Any) -> Path:
    return made.export(profile, root, about(**changes), recipe=RECIPE).folder


def reasons(old: Path, new: Path) -> list[tuple[str, str, str]]:
    found = compare(side_of_folder(old, []), side_of_folder(new, []))
    return [(it.kind, it.image_id, it.reason.sentence) for it in found.differences]


@pytest.mark.parametrize("profile", ["plain", "kohya", "webdataset"])
def test_the_same_set_for_another_trainer_or_as_a_manifest_alone_is_no_difference(profile: str, tmp_path: Path):
    one, other = exported(tmp_path / "a", sample()), exported(tmp_path / "b", sample(), profile)
    (tmp_path / "copied.json").write_bytes((other / "manifest.json").read_bytes())
    for side in (one, other, other / "manifest.json", tmp_path / "copied.json"):
        assert reasons(one, side) == []


def test_two_folders_say_by_which_setting_an_image_left(tmp_path: Path):
    whole, part = sample(), sample()
    del part.rows[0]
    old = exported(tmp_path / "a", whole)
    new = exported(tmp_path / "b", part, selection__min_quality=0.05, distinct_frames__similarity=0.9)
    assert reasons(old, new) == [
        (LEFT, "show.e1/00000000", "of too low a quality (0), since [selection] min_quality 0.0 -> 0.05")
    ]


def test_other_captions_and_multiplies_of_a_folder_have_the_settings_given_there(tmp_path: Path):
    made = sample()
    made.add(7, "2_characters/fern+stark", 1.5, caption="1girl, fern, long hair, smile", **SAID)
    old, new = exported(tmp_path / "a", made), exported(tmp_path / "b", made)
    assert len(recaption(new, {"drop": ["hair"]}).captions) == 4
    told = {sentence for _, _, sentence in reasons(old, new)}
    assert told == {'other caption settings, since [captions] drop +"hair"'}
    rebalance(new, {"weights": [{"pattern": "2_characters", "weight": 9.0}]})
    changes = {
        it.concept: it.reason.sentence for it in compare(*(side_of_folder(it, []) for it in (old, new))).concepts
    }
    assert changes["2_characters/fern+stark"].endswith("2_characters 1 -> 9")


def test_a_caption_edited_by_hand_is_told_as_such_and_read_no_further_than_its_folder(tmp_path: Path):
    old, new = exported(tmp_path / "a", sample()), exported(tmp_path / "b", sample())
    [text, *others] = sorted(new.rglob("*00000*.txt"))
    text.write_text("mine,\nall mine", encoding="utf-8")
    found = compare(side_of_folder(old, []), side_of_folder(new, [])).of(CAPTION)
    assert [(it.after, it.reason.sentence) for it in found] == [("mine, all mine", "written by hand")]
    (tmp_path / "secret").write_text("secret")
    others[0].unlink()
    others[0].symlink_to(tmp_path / "secret")
    with pytest.raises(ExportError, match="is a link out of"):
        side_of_folder(new, [])


def changed_manifest(folder: Path, change: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def test_an_older_manifest_without_a_lineage_is_compared_with_less_reason_given(tmp_path: Path):
    part = sample()
    del part.rows[0]
    old, new = exported(tmp_path / "a", sample()), exported(tmp_path / "b", part)
    changed_manifest(old, lambda it: (it["about"].pop("lineage"), it.pop("recipe"), it.update(format=0)))
    assert reasons(old, new) == [(LEFT, "show.e1/00000000", "nothing on record says why")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it["images"].append(it["images"][0]), "lists an image twice"),
        (lambda it: it["about"]["lineage"]["steps"].update(selection=[{"settings": 3}]), "lineage"),
        (lambda it: it["images"][0].update(file="../../elsewhere.webp"), "elsewhere"),
    ],
)
def test_a_manifest_that_somebody_broke_is_refused_by_name(change: Any, told: str, tmp_path: Path):
    folder = exported(tmp_path, sample())
    changed_manifest(folder, change)
    with pytest.raises(ExportError, match=told) as error:
        side_of_folder(folder, [])
    assert folder.name in str(error.value)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        (lambda it: it["about"]["lineage"]["steps"]["selection"][0]["settings"]["selection"], {"min_quality": "x"}),
        (lambda it: it["about"]["lineage"]["steps"]["selection"][0]["settings"]["selection"], {"characters": 3}),
        (lambda it: it["recipe"]["balance"], {"weights": [1, 2]}),
        (lambda it: it["recipe"]["balance"], {"max_multiply": None}),
        (lambda it: it["recipe"]["captions"], {"drop": 3}),
        (lambda it: it["recipe"], {"tag_kinds": {"nonsense": ["long_hair"]}}),
    ],
)
def test_settings_in_a_manifest_that_can_be_none_are_unknown_and_told(section: Any, value: Any, tmp_path: Path):
    part = sample()
    del part.rows[0]
    old, new = exported(tmp_path / "a", sample()), exported(tmp_path / "b", part, selection__min_quality=0.05)
    for folder, other in ((new, old), (old, new)):
        kept = (folder / "manifest.json").read_text("utf-8")
        changed_manifest(folder, lambda it: section(it).update(value))
        found = compare(side_of_folder(other, []), side_of_folder(folder, []))
        assert found.to_json()["counts"]["came"] + len(found.of(LEFT)) == 1
        assert any(next(iter(value)) in fault for fault in found.faults) is ("tag_kinds" not in value)
        (folder / "manifest.json").write_text(kept, "utf-8")


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "manifest.json: there is none"), ("[1, 2]", "manifest.json: it: should be an object, in braces")],
)
def test_a_manifest_that_is_none_is_told_in_plain_words(text: str | None, told: str, tmp_path: Path):
    if text:
        (tmp_path / "manifest.json").write_text(text, "utf-8")
    with pytest.raises(ExportError) as error:
        side_of_folder(tmp_path, [])
    assert str(error.value) == f"{tmp_path} is no folder that `dataset-pipeline export` wrote: {told}"


def test_files_that_are_missing_or_edited_since_the_export_are_told_in_a_line(tmp_path: Path):
    old, new = exported(tmp_path / "a", sample(5)), exported(tmp_path / "b", sample(5), "everydream")
    assert compare(side_of_folder(old, []), side_of_folder(new, [])).same
    [multiply] = new.rglob("multiply.txt")
    multiply.write_text("9", "utf-8")
    pictures = sorted(new.rglob("*.webp"))
    assert len(pictures) == 5
    for picture in pictures[:3]:
        picture.unlink()
    found = compare(side_of_folder(old, []), side_of_folder(new, []))
    names = [it.relative_to(new).as_posix() for it in (multiply, *pictures[:2])]
    told = f"{names[0]} was changed, {names[1]} is missing, {names[2]} is missing and 1 more"
    assert found.faults == (f"{new}: 4 files differ from the export: {told}",)
    assert (found.same, found.differences) == (False, ())
    assert [line for _, line in lines(found, 3)][-2:] == [found.faults[0], "no other difference"]


def test_what_a_set_was_made_from_is_no_part_of_its_content(tmp_path: Path):
    one, other = (sample().export("plain", tmp_path / it, {**ABOUT, **more}, recipe=RECIPE) for it, more in
                  (("a", {}), ("b", about())))  # fmt: skip
    assert one.content_sha256 == other.content_sha256
    assert one.folder.name == other.folder.name


# ---------------------------------------------------------------------------------------------------- the page

HOSTILE = "</style><script>alert('&\"')</script>{{ 7 * 7 }}"
LONG, CJK = "n" * 300, "フリーレン・葬送の"


def differences(name: str) -> SetDiff:
    reason = Reason(f"a {name}", (f"[{name}] x 1 -> 2",), f"({name})")
    return SetDiff(
        name,
        name,
        (1, 1),
        (name,),
        False,
        tuple(Difference(kind, name, reason, name, name) for kind in KINDS),
        (ConceptChange(name, Concept(1, 1.0, 0.5), Concept(2, 2.0, 0.25), reason),),
    )


def no_picture(image_id: str, is_new: bool) -> bytes:
    raise FileNotFoundError(image_id)


@pytest.mark.parametrize("name", [HOSTILE, LONG, CJK], ids=["markup", "300 letters", "cjk"])
def test_names_of_anybody_stand_on_the_page_as_words(name: str):
    text = page(differences(name), no_picture)
    assert "<script" not in text
    assert text.count("</style>") == 1
    assert ">49<" not in text
    shown = (
        name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;").replace("'", "&#39;")
    )
    assert text.count(shown) >= 3 * len(KINDS)


def test_every_template_of_the_page_escapes():
    assert environment().autoescape is True
    assert sorted(environment().list_templates()) == sorted(path.name for path in TEMPLATES.iterdir())
    for path in TEMPLATES.iterdir():
        tree = environment().parse(path.read_text(encoding="utf-8"))
        assert not list(tree.find_all((nodes.ScopedEvalContextModifier, nodes.MarkSafe, nodes.MarkSafeIfAutoescape)))
        assert "safe" not in {filtered.name for filtered in tree.find_all(nodes.Filter)}


def test_the_page_shows_pictures_of_either_side_and_counts_those_beyond_the_most(monkeypatch: pytest.MonkeyPatch):
    made = sample(1)
    data = next(iter(made.data.values()))
    monkeypatch.setattr(page_module, "MOST_THUMBNAILS", 3)
    asked = []

    def picture(image_id: str, is_new: bool) -> bytes:
        asked.append((image_id, is_new))
        return data if image_id != "b" else b"no picture"

    changed = [Difference(SIZE, it, Reason("x")) for it in ("a", "b", "c", "d")]
    found = replace(differences("x"), differences=tuple(changed), concepts=())
    text = page(found, picture)
    assert asked == [("a", False), ("a", True), ("b", False), ("b", True), ("c", False)]
    assert (text.count("data:image/jpeg;base64,"), text.count("no picture"), len(re.findall("<img ", text))) == (
        3,
        2,
        3,
    )
    assert "3 more pictures are not shown" in text


def test_a_picture_of_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch):
    from dataset_pipeline.images import thumbnails

    data = next(iter(sample(1).data.values()))
    assert thumbnails.thumbnail(data, 32).startswith(b"\xff\xd8")
    monkeypatch.setattr(thumbnails, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(ValueError, match="64x48 pixels are more than"):
        thumbnails.thumbnail(data, 32)


def test_the_text_counts_by_reason_and_names_a_few():
    reason = Reason("a near-duplicate", ("[distinct_frames] similarity 0.97 -> 0.95",), "of e/9")
    left = tuple(Difference(LEFT, f"e/{number}", reason) for number in range(5))
    found = replace(differences("x"), differences=left, concepts=(), known=True, changes=reason.causes)
    assert headline(found) == "5 images left"
    assert [line for _, line in lines(found, 2)][2:] == [
        "changed: [distinct_frames] similarity 0.97 -> 0.95",
        "5 images left",
        "      5  a near-duplicate, since [distinct_frames] similarity 0.97 -> 0.95",
        "         e/0 of e/9",
        "         e/1 of e/9",
    ]
