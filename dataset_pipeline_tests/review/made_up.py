"""A made-up project for the review page: people as points around their own, no store and no model behind them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dataset_pipeline.characters.appearances import Appearances, unit
from dataset_pipeline.corrections.log import CorrectionLog
from dataset_pipeline.review.actions import Speaker
from dataset_pipeline.review.facts import Facts, Frame, ShowFacts
from dataset_pipeline.review.model import View
from dataset_pipeline.review.pictures import MAT, SHEET_SIDE, TILE_PX
from dataset_pipeline.review.runs import Run
from dataset_pipeline.review.session import Session
from dataset_pipeline.store.files import open_files

LIMIT = 0.2
EXEMPLARS = 8
COLORS = np.random.default_rng(5).integers(60, 200, (64, 3))


def differences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.clip((1 - one @ other.T) / 2, 0, 1)


def made_up_facts(
    count: int, people: int = 20, width: int = 64, spread: float = 0.45, strangers: int = 0, show: str = "lake"
) -> Facts:
    """`count` appearances of one crop each, over 3 episodes; the last `strangers` of them are nobody known. Of the
    others every twelfth is taken for somebody else."""
    draw, base = np.random.default_rng(1), 0 if show == "lake" else 100
    centres = unit(draw.normal(size=(people + max(1, strangers // 5), width)))
    who = draw.integers(0, people, count)
    who[count - strangers :] = people + np.arange(strangers) // 5
    noise = unit(draw.normal(size=(count, width)))
    vectors = unit(centres[who] + spread * noise)
    crops = [f"{show}.e{i % 3 + 1}/{(i // 3 + 1) * 500:08d}#head-{100 + i % 7}-100-200-300" for i in range(count)]
    order = np.argsort(crops)
    crops, who, vectors = [crops[i] for i in order], who[order], vectors[order]
    taken = np.where(np.arange(count) % 12 == 5, (who + 1) % people, who)
    owners = [None if who[i] >= people else f"c-{base + taken[i]:08d}" for i in range(count)]
    members = {f"c-{base + k:08d}": np.flatnonzero(who == k)[:EXEMPLARS] for k in range(people)}
    none = np.zeros((0, 2), np.int64)
    stills = [(crop.partition("#")[0],) for crop in crops]
    appearances = Appearances([(crop,) for crop in crops], stills, vectors, vectors, none)
    exemplars = {name: vectors[numbers] for name, numbers in members.items() if len(numbers)}
    images = {}
    for crop in crops:
        still = crop.partition("#")[0]
        box = {"x_px": 100, "y_px": 50, "width_px": 200, "height_px": 150}
        images[crop] = {"image_id": crop, "still_id": still, "kind": "head", **box, "path": crop, "pixel_sha256": crop}
        images[still] = {
            **{"image_id": still, "still_id": still, "kind": "frame", "x_px": 0, "y_px": 0, "width_px": 1280},
            **{"height_px": 720, "path": still, "pixel_sha256": still},
        }
    standing = sorted(image for image in images if "#" not in image)[:12]
    lookalikes = {
        one: [Frame(one, one, 1.0, True), Frame(other, other, 2.0, False)]
        for one, other in zip(standing[::2], standing[1::2], strict=False)
    }
    return Facts(
        shows=[ShowFacts(show, appearances, owners, exemplars, {f"c-{base:08d}": "Ann"})],
        images=images,
        sources={f"{show}.e{k}": f"f{k}" for k in (1, 2, 3)},
        titles={f"{show}.e{k}": f"The Lake · {k}" for k in (1, 2, 3)},
        quality={crop: float(vectors[i, 0] % 1) for i, crop in enumerate(crops)},
        lookalikes=lookalikes,
        frames={image: images[image] for image in standing},
        limit=LIMIT,
        differences_to=differences,
        root="made up",
    )


class MadeUpPictures:
    """Squares of one colour for each person, with the number of the tile."""

    def __init__(self, owners: Mapping[str, int], images: Mapping[str, Any]) -> None:
        self._owners, self._images = owners, images

    def looks(self, images: Sequence[str], most: int | None = None) -> Mapping[str, str]:
        return {}

    def sheet(self, covers: Sequence[str]) -> bytes:
        sheet = np.full((SHEET_SIDE * TILE_PX, SHEET_SIDE * TILE_PX, 3), MAT, np.uint8)
        for i, cover in enumerate(covers):
            y, x = i // SHEET_SIDE * TILE_PX, i % SHEET_SIDE * TILE_PX
            sheet[y : y + TILE_PX, x : x + TILE_PX] = COLORS[self._owners.get(cover, 0) % len(COLORS)]
        return _jpeg(sheet)

    def whole(self, image: str) -> tuple[bytes, str]:
        return self.small(image, 640), "image/jpeg"

    def small(self, image: str, side_px: int) -> bytes:
        if image not in self._images:
            raise KeyError(image)
        picture = Image.new("RGB", (side_px, side_px * 9 // 16), tuple(int(it) for it in COLORS[len(image) % 64]))
        ImageDraw.Draw(picture).text((8, 8), image)
        return _jpeg(np.asarray(picture))


def _jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


class NoTables:
    """A store that holds no tags and captions."""

    def find(self, asset: str, episode: str | None = None, columns: list[str] | None = None) -> None:
        return None


@dataclass
class MadeUpProject:
    """What a `review.project.Project` is to its page, over made-up facts and a real log in `folder`."""

    folder: Path
    facts: Facts
    store: Any = field(default_factory=NoTables)
    run: Run = field(default_factory=lambda: Run(["false"]))

    def __post_init__(self) -> None:
        (show,) = self.facts.shows
        names = sorted(show.exemplars)
        owners = {
            crops[0]: names.index(it) + 1
            for crops, it in zip(show.appearances.crops, show.owners, strict=True)
            if it is not None
        }
        self.pictures = MadeUpPictures(owners, self.facts.images)
        self.read_again()

    def read_again(self) -> None:
        self.session = session_of(self.facts, self.folder)

    def start_run(self) -> None:
        raise ValueError("there is nothing to run here")


def session_of(facts: Facts, folder: Path) -> Session:
    def looks(images: Sequence[str], most: int | None = None) -> Mapping[str, str]:
        return {}

    view = View(facts, looks)
    return Session(view, CorrectionLog(open_files(str(folder / "corrections"))), Speaker(view, looks))
