"""What a joined table was made from, however far up: the sources, and the steps with their settings and weights.

A pointer's provenance names the inputs of one table alone, and only that of the current one. To say why an older
training set holds other images, each one's lineage is noted beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

JOINED = ""  # stands for the episode of a table over all episodes


@dataclass(frozen=True)
class Made:
    """How an asset made its tables. algorithm: its number. settings: what counts of the sections that it reads.
    models: name and first digits of the weights, by role."""

    algorithm: str = ""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lineage:
    """sources: the version of each episode's source, by its key. steps: how each asset made its tables, by asset and
    episode. tables: the names of these tables without their ending; empty where no store is at hand. of: the name of
    the table whose lineage it is, if that is known."""

    sources: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, Mapping[str, Made]] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    of: str = ""

    def made(self, asset: str, episode: str) -> Made | None:
        """How an asset made its table of an episode, or the one of all episodes; None if that is not known."""
        by_episode = self.steps.get(asset, {})
        return by_episode.get(episode) or by_episode.get(JOINED)

    def table(self, asset: str, episode: str) -> str:
        """The name of that table; empty if it is not known."""
        by_episode = self.tables.get(asset, {})
        return by_episode.get(episode) or by_episode.get(JOINED, "")

    def to_json(self, with_tables: bool = False) -> dict[str, Any]:
        """Steps that were the same for several episodes are told once, the most common without their names."""
        told = {
            "sources": dict(sorted(self.sources.items())),
            "steps": {asset: _told(by_episode) for asset, by_episode in sorted(self.steps.items())},
        }
        told |= {"of": self.of} if self.of else {}
        return told | ({"tables": {name: dict(it) for name, it in self.tables.items()}} if with_tables else {})

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Lineage:
        """What `to_json` gave, its types checked before."""
        sources = dict(told["sources"])
        steps = {asset: _by_episode(variants, sources) for asset, variants in told["steps"].items()}
        return cls(sources, steps, told.get("tables", {}), told.get("of", ""))


def _told(by_episode: Mapping[str, Made]) -> list[dict[str, Any]]:
    variants: list[tuple[Made, list[str]]] = []
    for episode, made in sorted(by_episode.items()):
        known = next((episodes for other, episodes in variants if other == made), None)
        if known is None:
            variants.append((made, [episode]))
        else:
            known.append(episode)
    variants.sort(key=lambda variant: -len(variant[1]))
    return [vars(made) | ({"episodes": episodes} if place else {}) for place, (made, episodes) in enumerate(variants)]


def _by_episode(variants: Iterable[Mapping[str, Any]], sources: Mapping[str, str]) -> dict[str, Made]:
    """By episode; what was made for all of them, or for most, stands for JOINED as well."""
    found: dict[str, Made] = {}
    for variant in variants:
        made = Made(variant["algorithm"], variant["settings"], variant["models"])
        found |= dict.fromkeys(variant.get("episodes", [*sources, JOINED]), made)
    return found
