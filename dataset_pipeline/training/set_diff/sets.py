"""A training set as it is compared: its images, what they were made from, and the tables behind it if any are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataset_pipeline.base.ids import episode_of, still_of
from dataset_pipeline.settings import CaptionsSettings, ConceptBalanceSettings
from dataset_pipeline.settings.tag_rules import Rules
from dataset_pipeline.store.lineage import Lineage

Row = Mapping[str, Any]
Rows = Mapping[str, Row]  # by image id


@dataclass(frozen=True)
class Image:
    """An image of a set. part: train, validation or reg. fields: what captions are rendered from, with image_id, kind
    and show. by_hand: a person changed the caption where it lies."""

    image_id: str
    part: str
    concept: str
    multiply: float
    caption: str
    sha256: str
    width_px: int
    height_px: int
    kind: str
    quality: float | None
    fields: Row
    by_hand: bool = False

    @property
    def episode(self) -> str:
        return episode_of(self.image_id)

    @property
    def still_id(self) -> str:
        return still_of(self.image_id)

    @property
    def is_crop(self) -> bool:
        return self.image_id != self.still_id


def no_tables(asset: str, episode: str) -> None:
    """Of a set whose store is not at hand."""


@dataclass(frozen=True)
class TrainingSet:
    """name: for people. lineage: empty if it is not known. captions, balance: how captions and multiplies were made,
    None if that is not known or was not the same for all. keeps_mark: captions hold `|||` for the trainer. has_clips:
    clips are among the images, if there are any; None if it is not known which it had. faults: what is amiss with it,
    in words.
    tables: the rows of an asset and an episode by image id, or None; over_quota: the images that the
    cut and quotas left out, and why."""

    name: str
    images: Mapping[str, Image]
    lineage: Lineage = field(default_factory=Lineage)
    captions: CaptionsSettings | None = None
    balance: ConceptBalanceSettings | None = None
    rules: Rules | None = None
    keeps_mark: bool = False
    has_clips: bool | None = False
    faults: tuple[str, ...] = ()
    tables: Callable[[str, str], Rows | None] = no_tables
    over_quota: Callable[[], Mapping[str, str]] = dict

    def row(self, asset: str, image_id: str) -> Row | None:
        """The row of an image in a table; None if there is none, or no table."""
        return (self.tables(asset, episode_of(image_id)) or {}).get(image_id)
