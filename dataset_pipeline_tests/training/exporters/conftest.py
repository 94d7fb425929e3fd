"""A small training set of drawn pictures, and what every exporter's test asks of a folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dataset_pipeline.training.exporters import ExportReport, export
from dataset_pipeline.training.exporters.documents import EMB_INIT, WILDCARD

ABOUT = {
    "training_set": "0123456789ab",
    "made_with_demo_models": False,
    "models": [
        {"role": "tagger", "model": "wd-swinv2-tagger-v3", "sha256": "ab" * 32, "licence": "Apache-2.0"},
        {"role": "quality", "model": "hyperiqa", "sha256": "cd" * 32, "licence": "PolyForm-Noncommercial"},
    ],
}
# So that every reader of a set meets files that it must not take for captions or metadata.
BESIDE = {EMB_INIT: b'{"fern": ["purple hair"]}\n', WILDCARD: b"fern\nfern, purple hair\n"}
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# Every caption has these, so that each profile's test shows that the trainer reads them to the letter.
ODD_WORDS = """re:zero \\(a, b\\), it's "so", [x] {y|z}, 100% #1 <l:1>, フリーレン, 😀 e\u0301"""


def encoded(color: tuple[int, ...], size: tuple[int, int], suffix: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB" if len(color) == 3 else "L", size, color if len(color) == 3 else color[0]).save(
        buffer, {".jpg": "jpeg"}.get(suffix, suffix.removeprefix("."))
    )
    return buffer.getvalue()


class SampleSet:
    """Rows of a training set and the pictures they name, each of another colour and width. size_px: the smallest."""

    def __init__(self, size_px: tuple[int, int] = (64, 48)) -> None:
        self.size_px = size_px
        self.data: dict[str, bytes] = {}
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        number: int,
        concept: str = "1_character/fern",
        multiply: float = 1.361,
        suffix: str = ".webp",
        mask: bool = False,
        **more: Any,
    ) -> dict[str, Any]:
        path = f"training_images/show.e1/{number}{suffix}"
        width_px, height_px = self.size_px[0] + number, self.size_px[1]
        self.data[path] = encoded((number * 20 % 256, 90, 200), (width_px, height_px), suffix)
        if mask:
            more["mask_path"] = f"masks/{number}.png"
            self.data[more["mask_path"]] = encoded((number,), (width_px, height_px), ".png")
        row = {
            "image_id": f"show.e1/{number:08d}",
            "episode": "show.e1",
            "show": "show",
            "kind": "still",
            "characters": ["fern"],
            "concept": concept,
            "multiply": multiply,
            "caption": f"1girl, fern, ^_^, long hair, tag {number}, {ODD_WORDS}",
            "quality": 0.5,
            "path": path,
            "width_px": width_px,
            "height_px": height_px,
            "file_sha256": hashlib.sha256(self.data[path]).hexdigest(),
            **more,
        }
        self.rows.append(row)
        return row

    def export(self, profile: str, root: Path, about: Mapping[str, Any] = ABOUT, **more: Any) -> ExportReport:
        return export(profile, self.rows, self.data.__getitem__, root, about, extra_files=BESIDE, **more)

    @staticmethod
    def multiply_of(row: Mapping[str, Any]) -> float:
        """By which the trainer is to see the image: a held-out one once, whatever the row says."""
        return 1.0 if row.get("split") == "validation" else row["multiply"]

    def of_part(self, part: str) -> dict[str, dict[str, Any]]:
        """Rows by file stem."""
        return {
            row["image_id"].replace(".", "~").replace("/", "@").replace("#", "="): row
            for row in self.rows
            if part == ("reg" if row.get("is_reg") else row.get("split", "train"))
        }


@pytest.fixture
def sample() -> SampleSet:
    """Six pictures to train on in three concepts."""
    sample = SampleSet()
    for number in range(3):
        sample.add(number)
    for number in range(3, 5):
        sample.add(number, "2_characters/fern+フリーレン", 3.7)
    sample.add(5, "0_characters/character_others", 1.0, image_id="show.e1/00000005#person-1-2-30-400")
    return sample


@pytest.fixture
def parted(sample: SampleSet) -> SampleSet:
    """And three held out, two for regularization, among them concepts of the same names."""
    for number in range(6, 9):
        sample.add(number, split="validation", multiply=2.0)
    for number in range(9, 11):
        sample.add(number, "1girl", 1.0, is_reg=True)
    return sample


@pytest.fixture
def masked(sample: SampleSet) -> SampleSet:
    """Three more, of which two have masks."""
    sample.add(11, mask=True)
    sample.add(12, "2_characters/fern+フリーレン", 3.7, mask=True)
    sample.add(13)
    return sample


@pytest.fixture
def files_in():
    """Paths of all files below a folder, relative to it and sorted."""
    return lambda folder: sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def caption_beside():
    """The caption that lies beside a picture, which must be one line of UTF-8 without a mark and not empty."""

    def read(picture: Path, suffix: str = ".txt") -> str:
        data = picture.with_suffix(suffix).read_bytes()
        text = data.decode("utf-8")
        assert text.strip()
        assert not data.startswith(b"\xef\xbb\xbf")
        assert len(text.splitlines()) == 1
        return text

    return read


@pytest.fixture
def pictures_right_in():
    """Pictures of a folder by stem, subfolders not looked into; what is neither picture nor text is an error here, as
    trainers that take unknown files for media would stumble over it."""

    def look(folder: Path) -> dict[str, Path]:
        found = {path.stem: path for path in folder.iterdir() if path.suffix in PICTURES}
        texts = {path.stem for path in folder.iterdir() if path.suffix == ".txt"}
        assert {path.suffix for path in folder.iterdir()} <= {*PICTURES, ".txt"}
        assert texts == found.keys()
        return found

    return look


@pytest.fixture
def clipped(parted: SampleSet) -> SampleSet:
    """`parted` with three clips to train on, two of them of one concept and length, and one held out."""
    for number, frames, size in (
        (30, 81, (848, 480)),
        (31, 33, (848, 480)),
        (32, 81, (640, 352)),
        (33, 81, (848, 480)),
    ):
        row = parted.add(
            number,
            multiply=1.361,
            image_id=f"show.e1/clip-{number:08d}-{number + frames:08d}",
            kind="clip",
            frames=frames,
            fps=16,
            split="validation" if number == 33 else "train",
            path=f"training_clips/show.e1/{number}.mp4",
            width_px=size[0],
            height_px=size[1],
        )
        parted.data[row["path"]] = f"video {number}".encode()
        row["file_sha256"] = hashlib.sha256(parted.data[row["path"]]).hexdigest()
    return parted
