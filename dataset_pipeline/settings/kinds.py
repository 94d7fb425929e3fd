"""What values of several sections may be."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
)

from dataset_pipeline.settings.section import NO_RESULT

CropKind = Literal["person", "halfbody", "head", "face", "hand"]
DetectionKind = Literal["person", "halfbody", "head", "face", "hand", "eye"]
DetailKind = Literal["face", "hand", "eyes", "head", "clothes", "object"]
ResizeBy = Literal["short_side", "long_side", "area"]
ResizeFilter = Literal["lanczos", "area"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]
Side = Annotated[int, Field(ge=1, le=65_536)]
TagThreshold = Annotated[float, Field(ge=0.0, le=1.01)]
Byte = Annotated[int, Field(ge=0, le=255)]


def _only_pack_in_braces(root: str) -> str:
    if re.search("[{}]", root.replace("{pack}", "")):
        raise ValueError("only {pack} may stand in braces")
    return root


Root = Annotated[str, Field(min_length=1), AfterValidator(_only_pack_in_braces), NO_RESULT]


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("each may be named once")
    return names


EACH_ONCE = AfterValidator(_each_once)
