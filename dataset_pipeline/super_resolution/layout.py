"""What a super-resolution set looks like on disk, as trainers read it.

    train/hr/0000.png   train/x2/0000.png   train/x4/0000.png
    validation/hr/...   validation/x2/...   validation/x4/...
    meta_info.txt       scores.txt          ...

Names are numbers in the order of scores, the best tile first, padded so that they sort so; a low-quality picture has
the name of its tile, as BasicSR and neosr pair by the whole name. There is neither a space nor a second dot in them:
BasicSR reads a line of meta_info.txt up to the first space, LMDB keys up to the first dot. Whatever lies in a folder of
pictures is taken for one (scandir of BasicSR and traiNNer-redux asks for no ending), so all else lies outside. Pictures
are RGB PNG of 8 bits without gamma or profile: traiNNer-redux would convert colours by those, BasicSR would not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TRAIN, VALIDATION, HR = "train", "validation", "hr"
META_INFO, SIZED_META_INFO, SCORES = "meta_info.txt", "meta_info_sizes.txt", "scores.txt"


@dataclass(frozen=True)
class Tile:
    """A tile of a set. name: of its files, without their ending. row: of `plan_tiles`."""

    name: str
    split: str
    score: float
    row: Mapping[str, Any]

    @property
    def file_name(self) -> str:
        return f"{self.name}.png"

    def path(self, folder: str = HR) -> str:
        """Of the tile, or of its low-quality picture in the folder of that scale, below the set's folder."""
        return f"{self.split}/{folder}/{self.file_name}"


def lq_folder(scale: int) -> str:
    """The folder of low-quality pictures at 1/scale of the size."""
    return f"x{scale}"


def named(ranked: Sequence[tuple[Mapping[str, Any], float]], split: str) -> list[Tile]:
    """The tiles of a part with their names: the number of each, the best is 0. ranked: rows with scores, best first."""
    digits = len(str(max(len(ranked) - 1, 0)))
    return [Tile(f"{number:0{digits}d}", split, score, row) for number, (row, score) in enumerate(ranked)]


def meta_info(tiles: Iterable[Tile]) -> str:
    """Lines as Real-ESRGAN's generate_meta_info.py writes them: the path below the set's folder."""
    return "".join(f"{tile.path()}\n" for tile in sorted(tiles, key=Tile.path))


def sized_meta_info(tiles: Iterable[Tile]) -> str:
    """Lines as BasicSR's meta_info files have them: name and size, `0001.png (512,512,3)`."""
    sides = ((tile.file_name, tile.row["side_px"]) for tile in sorted(tiles, key=Tile.path))
    return "".join(f"{name} ({side},{side},3)\n" for name, side in sides)


def pair_meta_info(tiles: Iterable[Tile], scale: int) -> str:
    """Lines as Real-ESRGAN's generate_meta_info_pairdata.py writes them: `hr path, lq path`, below the set's folder."""
    folder = lq_folder(scale)
    return "".join(f"{tile.path()}, {tile.path(folder)}\n" for tile in sorted(tiles, key=Tile.path))


def score_file(tiles: Iterable[Tile]) -> str:
    """Name, tab and score of each tile, by name, without a heading."""
    return "".join(f"{tile.file_name}\t{tile.score!r}\n" for tile in sorted(tiles, key=Tile.path))


def texts(tiles: Sequence[Tile], scales: Sequence[int]) -> dict[str, str]:
    """The lists of a set's training tiles, by file name; none lies in a folder of pictures."""
    trained = [tile for tile in tiles if tile.split == TRAIN]
    return {
        META_INFO: meta_info(trained),
        SIZED_META_INFO: sized_meta_info(trained),
        **{f"meta_info_pairs_{lq_folder(scale)}.txt": pair_meta_info(trained, scale) for scale in scales},
        SCORES: score_file(trained),
    }
