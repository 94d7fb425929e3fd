"""Models for tests of whole chains of assets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np


@dataclass
class Models:
    """Each role in one: a person in the middle of every picture, the same on all. `fails(role, picture)` may raise.
    `seen` counts the pictures by role."""

    fails: Callable[[str, np.ndarray], None] = lambda role, picture: None
    seen: dict[str, int] = field(default_factory=dict)
    threshold: float = 0.5
    device: str = "cpu"

    def fingerprint(self) -> Any:
        known = {"role": "it", "model": "drawn", "sha256": "m", "demo": True}
        return SimpleNamespace(**known, as_dict=lambda: known)

    def watched(self, role: str, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for picture in pictures:
            self.seen[role] = self.seen.get(role, 0) + 1
            self.fails(role, picture)
            yield picture

    def detect(self, pictures: Iterable[np.ndarray], kinds: Any) -> Iterator[list[Any]]:
        for picture in self.watched("detector", pictures):
            height, width = picture.shape[:2]
            corners = {"x0": width / 4, "y0": height / 4, "x1": width / 2, "y1": height / 2}
            yield [SimpleNamespace(kind="person", score=0.9, **corners)]

    def embed(self, pictures: Iterable[np.ndarray]) -> Iterator[list[float]]:
        return ([1.0, 0.0] for _ in self.watched("identity", pictures))

    def differences(self, features: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
        return np.zeros((len(features), len(features if others is None else others)))

    def score(self, pictures: Iterable[np.ndarray]) -> Iterator[float]:
        return (0.9 for _ in self.watched("quality", pictures))

    def terms(self) -> dict[str, Any]:
        return {"metric": "cnniqa", "direction": "higher", "short_side_px": 512}

    def lines(self, pictures: Iterable[np.ndarray]) -> Iterator[list[Any]]:
        return ([] for _ in self.watched("text_detector", pictures))

    def tag(self, pictures: Iterable[np.ndarray]) -> Any:
        count = len(list(self.watched("tagger", pictures)))
        return SimpleNamespace(tags=["1girl", "smile"], categories=["general"] * 2, scores=np.full((count, 2), 0.9))
