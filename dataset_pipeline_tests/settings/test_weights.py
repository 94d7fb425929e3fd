from __future__ import annotations

from pathlib import Path

import pytest

from dataset_pipeline.settings import SettingsError, read_weights


def read(folder: Path, content: bytes) -> list[tuple[str, float]]:
    path = folder / "weights.csv"
    path.write_bytes(content)
    return [(entry.pattern, entry.weight) for entry in read_weights(path)]


def test_lines_are_read_in_their_order_with_or_without_a_space(tmp_path: Path):
    text = b'\xef\xbb\xbf1_character, 3\r\nclass1,4 \n\n*class2,\t6\n"a,b", .5\n*/2_*, 1e1\n'
    assert read(tmp_path, text) == [("1_character", 3), ("class1", 4), ("*class2", 6), ("a,b", 0.5), ("*/2_*", 10)]
    assert read(tmp_path, b"# mine\npattern, weight\n2_characters, 6\n") == [("2_characters", 6)]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("class1", "'class1'"),
        ("class1, much", "'class1, much'"),
        ("a, b, 3", "'a, b, 3'"),
        (", 3", "', 3'"),
        ("class1, 0", "'class1, 0'"),
        ("class1, -2", "'class1, -2'"),
        ("class1, nan", "'class1, nan'"),
        ("class1, inf", "'class1, inf'"),
    ],
)
def test_a_bad_line_is_named_with_its_file(tmp_path: Path, line: str, shown: str):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, f"1_character, 3\n\n{line}\n".encode())
    assert str(caught.value).startswith(f"{tmp_path / 'weights.csv'}, line 3: {shown} is no `pattern, weight`")


@pytest.mark.parametrize("content", [b"", b"\n", b"# mine\npattern, weight\n"])
def test_a_file_without_a_weight_is_named(tmp_path: Path, content: bytes):
    with pytest.raises(SettingsError, match=r"weights\.csv holds no line `pattern, weight`"):
        read(tmp_path, content)


@pytest.mark.parametrize("content", [b"\xff\xfe1", b'"open, 3\n'])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes):
    with pytest.raises(SettingsError, match=r"weights\.csv is no table of `pattern, weight` in UTF-8"):
        read(tmp_path, content)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"gone\.csv cannot be read: No such file"):
        read_weights(tmp_path / "gone.csv")
