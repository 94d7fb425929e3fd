from __future__ import annotations

from pathlib import Path

import pytest

from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.hand_edited import SAVE_AS_UTF8, hand_edited_rows, sidecars, text_of, written_tags


def rows(folder: Path, *pictures: str) -> dict[str, tuple[str, list[str]]]:
    found, faults = hand_edited_rows(folder, [{"image_id": f"s.e/{name}", "source_file": name} for name in pictures])
    assert not faults
    return {row["image_id"][4:]: (row["file"], row["tags"]) for row in found}


def test_tags_are_parted_by_commas_or_lines_and_each_is_taken_once_in_its_order():
    assert written_tags(" b tag,a,\n b_tag, ,^_^ ,long   hair\r\n") == ["b tag", "a", "^_^", "long hair"]
    assert written_tags(" \n,") == []


def test_a_text_of_the_pictures_name_holds_its_tags(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    for name in ("x.txt", "sub/y.tags", "z.png.tags", "w.v2.txt"):
        (tmp_path / name).write_text("1girl, hat", encoding="utf-8-sig")
    found = rows(tmp_path, "x.png", "sub/y.jpg", "z.png", "w.v2.webp", "none.png")
    assert {name: file for name, (file, _) in found.items()} == {
        "x.png": "x.txt",
        "sub/y.jpg": "sub/y.tags",
        "z.png": "z.png.tags",
        "w.v2.webp": "w.v2.txt",
    }
    assert {tuple(tags) for _, tags in found.values()} == {("1girl", "hat")}


def test_a_file_called_tags_goes_before_a_text_and_an_empty_one_counts_as_none(tmp_path: Path):
    assert sidecars("x.png") == ["x.tags", "x.txt", "x.caption", "x.png.tags", "x.png.txt", "x.png.caption"]
    (tmp_path / "x.txt").write_text("from txt")
    (tmp_path / "x.tags").write_text("from tags")
    assert rows(tmp_path, "x.png") == {"x.png": ("x.tags", ["from tags"])}
    (tmp_path / "x.tags").write_text(" \n")
    assert rows(tmp_path, "x.png") == {"x.png": ("x.txt", ["from txt"])}


def test_all_frames_of_an_animation_share_its_tags(tmp_path: Path):
    (tmp_path / "x.txt").write_text("hat")
    found, _ = hand_edited_rows(tmp_path, [{"image_id": f"s.e/{n}", "source_file": "x.gif"} for n in range(3)])
    assert [row["tags"] for row in found] == [["hat"]] * 3
    SCHEMAS["hand_edited_tags"].table(found)


def test_a_file_that_is_no_text_is_named_and_the_others_are_read(tmp_path: Path):
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "y.txt").write_text("hat")
    keyframes = [{"image_id": f"s.e/{name}", "source_file": f"{name}.png"} for name in "xy"]
    found, faults = hand_edited_rows(tmp_path, keyframes)
    assert [row["image_id"] for row in found] == ["s.e/y"]
    assert len(faults) == 1
    assert "x.txt cannot be read as tags" in faults[0]


@pytest.mark.parametrize("name", ["x.TXT", "x.Tags", "x.caption", "x.CAPTION", "x.png.TXT", "x.png.caption"])
def test_a_file_of_tags_is_known_by_every_usual_ending_in_capitals_too(tmp_path: Path, name: str):
    (tmp_path / name).write_text("1girl, my own words")
    assert rows(tmp_path, "x.png", "y.png") == {"x.png": (name, ["1girl", "my own words"])}


def test_of_two_spellings_the_one_of_the_picture_counts(tmp_path: Path):
    composed, decomposed = "\u00e9", "e\u0301"
    (tmp_path / f"{decomposed}.txt").write_text("decomposed")
    assert rows(tmp_path, f"{composed}.png") == {f"{composed}.png": (f"{decomposed}.txt", ["decomposed"])}
    (tmp_path / f"{composed}.txt").write_text("composed")
    assert rows(tmp_path, f"{composed}.png", f"{decomposed}.png") == {
        f"{composed}.png": (f"{composed}.txt", ["composed"]),
        f"{decomposed}.png": (f"{decomposed}.txt", ["decomposed"]),
    }


TEXT = "1girl, 緑の髪, café"


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii"],
)
def test_text_in_unicode_is_read_with_and_without_its_mark(tmp_path: Path, encoding: str):
    text = TEXT if encoding != "ascii" else "1girl, hat\r\n\x1a"
    (tmp_path / "x.txt").write_bytes(text.encode(encoding))
    assert rows(tmp_path, "x.png") == {
        "x.png": ("x.txt", ["1girl", "hat"] if encoding == "ascii" else TEXT.split(", "))
    }


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("1girl, 緑の髪".encode("shift-jis"), "is no UTF-8 text"),
        ("1girl, 绿发".encode("gbk"), "is no UTF-8 text"),
        ("1girl, 緑の髪".encode("euc-jp"), "is no UTF-8 text"),
        ("1girl, café".encode("cp1252"), "is no UTF-8 text"),
        ("1girl, 緑".encode("iso-2022-jp"), "is no text"),
        ("緑髪少女".encode("utf-16-le"), "is no"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no"),
        (b"1girl\0hat\0", "is no"),
        (b"\xff\xfe1\0g", "is no UTF-16-LE text"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused_by_name_and_says_what_became_of_its_picture(
    tmp_path: Path, data: bytes, reason: str
):
    (tmp_path / "x.txt").write_bytes(data)
    (tmp_path / "y.txt").write_text("hat")
    keyframes = [{"image_id": f"s.e/{name}", "source_file": f"{name}.png"} for name in "xy"]
    found, (fault,) = hand_edited_rows(tmp_path, keyframes)
    assert [row["image_id"] for row in found] == ["s.e/y"]
    assert fault.startswith("x.txt cannot be read as tags, and its picture has the tagger's: it ")
    assert reason in fault
    assert fault.endswith(SAVE_AS_UTF8)


def test_text_without_letters_beyond_ascii_is_never_read_with_gaps():
    for encoding in ("utf-16-le", "utf-16-be"):
        assert text_of("1girl, hat".encode(encoding)) == "1girl, hat"
    with pytest.raises(ValueError, match="is no"):
        text_of("1girl, hat".encode("utf-32-le"))
    assert text_of(b"") == ""


def test_tags_of_a_picture_out_of_the_folder_are_not_read_and_named(tmp_path: Path):
    (tmp_path / "x.txt").write_text("hat")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for picture in ("../x.png", str(tmp_path / "x.png"), "a\0b.png"):
        found, faults = hand_edited_rows(folder, [{"image_id": "s.e/x", "source_file": picture}])
        assert (found, faults) == ([], [f"{picture!r} is no picture in {folder}: materialize keyframes again"])


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("A girl stands in a field.\nShe smiles.", ["A girl stands in a field. She smiles."]),
        ("A girl stands in\na field.\r\n\r\nShe smiles.\n", ["A girl stands in a field. She smiles."]),
        ("She smiles.\nShe waves.", ["She smiles. She waves."]),
        ("A girl in a field,\nsmiling.", ["A girl in a field", "smiling."]),
        ('He says: "Come."\nShe goes!\nAnd then?\nNothing.', ['He says: "Come." She goes! And then? Nothing.']),
        ("1girl, smile\nA girl in a field.\nShe smiles.", ["1girl", "smile", "A girl in a field. She smiles."]),
        ("女の子が野原に立っている。\n笑っている。", ["女の子が野原に立っている。 笑っている。"]),
        ("1girl\nlong hair\nk-on!\nhirasawa yui", ["1girl", "long hair", "k-on!", "hirasawa yui"]),
        ("Gochuumon wa Usagi desu ka?\n1girl", ["Gochuumon wa Usagi desu ka?", "1girl"]),
        ("Fern\nFrieren\nOutdoors", ["Fern", "Frieren", "Outdoors"]),
        ("!\n...\n^_^\nmr. a\ndr.\nJ.C.", ["!", "...", "^_^", "mr. a", "dr.", "J.C."]),
    ],
)  # fmt: skip
def test_a_caption_over_several_lines_is_one_and_tags_a_line_are_several(text: str, tags: list[str]):
    assert written_tags(text) == tags


def test_lines_of_sentences_are_said_without_a_comma_behind_a_full_stop():
    from dataset_pipeline.settings import load_settings
    from dataset_pipeline.settings.tag_rules import load_rules
    from dataset_pipeline.tags.captions import CaptionSources, caption_fields
    from dataset_pipeline.tags.templates import render

    settings = load_settings()
    row = {"image_id": "s.e/x-00000000", "kind": "still", "characters": [], "quality": None}
    said = CaptionSources({row["image_id"]: {"tags": written_tags("A girl in a field.\nShe smiles, happily.")}})
    fields = caption_fields(row, said, "Show", settings.captions)
    assert (
        render(fields, settings.captions, load_rules(settings.tag_rules)) == "A girl in a field. She smiles, happily."
    )
