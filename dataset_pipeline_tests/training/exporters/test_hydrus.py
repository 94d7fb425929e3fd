from __future__ import annotations

from pathlib import Path


def as_hydrus_reads(picture: Path) -> list[tuple[str, str]]:
    """Namespace and tag of each line of a picture's sidecar, by the importer's defaults."""
    lines = Path(f"{picture}.txt").read_text("utf-8").split("\n")
    tags = [line.strip().lower() for line in lines if line.strip()]
    assert len(set(tags)) == len(tags)
    return [(space, tag) if mark else ("", space) for space, mark, tag in (tag.partition(":") for tag in tags)]


def test_every_picture_has_its_tags_in_a_sidecar_with_their_namespaces(parted, tmp_path: Path):
    parted.rows[0] |= {
        "characters": ["fern (sousou no frieren)", "フリーレン"],
        "series": ["sousou no frieren"],
        "artists": ["some_body"],
        "rating": "general",
        "tags": ["long_hair", "^_^", ":3", "re:zero", "a\\b", "long_hair", 'it\'s "quoted", yes'],
    }
    parted.rows[1] |= {"show_title": "The Show", "tags": []}
    folder = parted.export("hydrus", tmp_path).folder
    for part in ("train", "validation", "reg"):
        assert {path.stem for path in (folder / part).glob("*.webp")} == parted.of_part(part).keys()
        assert len(list((folder / part).iterdir())) == 2 * len(parted.of_part(part))
    assert as_hydrus_reads(folder / "train/show~e1@00000000.webp") == [
        ("character", "fern (sousou no frieren)"),
        ("character", "フリーレン"),
        ("series", "sousou no frieren"),
        ("creator", "some_body"),
        ("rating", "general"),
        ("", "long hair"),
        ("", "^_^"),
        ("", "3"),  # `:3` is kept whole by it, as there is no namespace before the colon
        ("", "re:zero"),
        ("", "a\\b"),
        ("", 'it\'s "quoted", yes'),
    ]
    assert as_hydrus_reads(folder / "train/show~e1@00000001.webp") == [("character", "fern"), ("series", "the show")]
    assert as_hydrus_reads(folder / "reg/show~e1@00000009.webp") == [("character", "fern"), ("series", "show")]
