"""What a cut by score is, in the sections that make one: of the training set, and of a set for super-resolution."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from dataset_pipeline.settings.section import NamedQuery, Section

Stratum = Literal["show", "episode", "shot", "character", "crop", "query"]


class StratumQuery(NamedQuery):
    """A stratum of the images for which the question holds."""


class CutSettings(Section):
    how: Literal["drop_worst", "keep_best"]
    by: Literal["count", "score", "percentile"]
    amount: Annotated[float, Field(ge=-1e9, le=1e9)]
    in_strata: bool
    queries: list[StratumQuery]
    floor: Annotated[int, Field(ge=0)]
    quota: Annotated[int, Field(ge=0)]
    per_source: Annotated[int, Field(ge=0)]

    @field_validator("queries")
    @classmethod
    def _each_once(cls, queries: list[StratumQuery]) -> list[StratumQuery]:
        if len({it.name for it in queries}) < len(queries):
            raise ValueError("each needs a name of its own")
        return queries

    @property
    def cuts(self) -> bool:
        """Whether anything can be left out."""
        return self.by == "score" or self.how == "keep_best" or self.amount > 0 or self.quota > 0 or self.per_source > 0
