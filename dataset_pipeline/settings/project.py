"""Sections of where things lie, how they arrive, and which models look at them."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    Field,
)

from dataset_pipeline.settings.kinds import Root
from dataset_pipeline.settings.section import NO_RESULT, Section


class EpisodesSettings(Section):
    roots: list[str]


class ArrivalsSettings(Section):
    settle_s: Annotated[float, Field(ge=0.0, le=86_400.0)]
    at_once: Annotated[int, Field(ge=1, le=500), NO_RESULT]
    join_interval_h: Annotated[float, Field(gt=0.0, le=168.0)]


class StoreSettings(Section):
    root: Root
    picture_memory_mib: Annotated[int, Field(ge=0, le=1_048_576), NO_RESULT]


class ModelsSettings(Section):
    pack: Annotated[str, Field(min_length=1)]
    cache: str
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")]
    keep_loaded: Annotated[int, Field(ge=1, le=64)]
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    embedder: str
    detector: list[str]
    identity: str
    quality: str
    tagger: str | list[str]
    text_detector: str
    pose: str

    @property
    def taggers(self) -> list[str]:
        """The taggers named; none = the pack's."""
        names = [self.tagger] if isinstance(self.tagger, str) else self.tagger
        return [name for name in names if name]


class CorrectionsSettings(Section):
    root: Root  # what is said counts, not where it lies


class ClusterSettings(Section):
    """Several machines that share one history. Nothing of it counts for a version."""

    broker: Annotated[str, Field(pattern=r"^($|rediss?://)", description="empty, or redis://<host>:6379/0"), NO_RESULT]
    database: Annotated[
        str,
        Field(pattern=r"^($|postgresql://)", description="empty, or postgresql://<user>:<password>@<host>:5432/<name>"),
        NO_RESULT,
    ]
    gpu_slots: Annotated[int, Field(ge=1, le=1000), NO_RESULT]
    head_slots: Annotated[int, Field(ge=1, le=1000), NO_RESULT]
    silent_s: Annotated[float, Field(ge=2.0, le=3600.0), NO_RESULT]

    @property
    def is_set(self) -> bool:
        return bool(self.broker)
