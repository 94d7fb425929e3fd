"""What an asset says of itself: its kind, and the tables, settings and models that it reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from dataset_pipeline.settings import Settings


class Kind(Enum):
    """What sort of work an asset does, which decides how it runs. The first three are made episode by episode.

    MEASURE runs models or a decoder over pixels and keeps everything that was seen. DECIDE reads tables and applies
    rules to them. RENDER writes the pictures that a decision asks for, and may be the one that decides. JOIN needs many
    episodes at once, and belongs to none. PROJECTION follows a join and brings what comes of it back to each episode,
    many episodes in one run. EXPORT is a join that writes a folder beside the store, whenever it is asked to and only
    then.
    """

    MEASURE = "measure"
    DECIDE = "decide"
    RENDER = "render"
    JOIN = "join"
    PROJECTION = "projection"
    EXPORT = "export"


@dataclass(frozen=True)
class Declaration:
    """What one asset is and reads. Those that `remember` read the identity log and add to it; of those that are
    `traced` the lineage is noted with each table. Those made `on_demand` belong to no run of the graph and never run by
    themselves. Those made
    `by_class` are made class by class of regularization sets, in place of episode by episode.
    Those that `generate` are given what makes pictures from text.

    `reads` is all that it may read. What stands in `reads_if` too is read only under settings of which that is true:
    `under` settings it is one of `reads`, or gone. So are sections of `settings` that stand in `settings_if`, and roles
    of `models` that stand in `models_if`.
    """

    name: str
    kind: Kind
    reads: tuple[str, ...]
    settings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    algorithm: int = 1
    remembers: bool = False
    traced: bool = False
    reads_if: tuple[tuple[str, Callable[[Settings], bool]], ...] = ()
    settings_if: tuple[tuple[str, Callable[[Settings], bool]], ...] = ()
    models_if: tuple[tuple[str, Callable[[Settings], bool]], ...] = ()
    on_demand: bool = False
    by_class: bool = False
    generates: bool = False

    @property
    def joined(self) -> bool:
        """Whether it sees all episodes at once and has one table for them."""
        return self.kind in (Kind.JOIN, Kind.EXPORT)

    @property
    def projection(self) -> bool:
        """Whether many episodes are handled in one run."""
        return self.kind is Kind.PROJECTION

    @property
    def exports(self) -> bool:
        """Whether it is given the folder of exports, and runs each time it is asked to."""
        return self.kind is Kind.EXPORT

    def under(self, settings: Settings) -> Declaration:
        """The same with exactly what it reads under these settings."""
        if not (self.reads_if or self.settings_if or self.models_if):
            return self
        unread, unused, unasked = (
            {name for name, counts in conditions if not counts(settings)}
            for conditions in (self.reads_if, self.settings_if, self.models_if)
        )
        return replace(
            self,
            reads=tuple(name for name in self.reads if name not in unread),
            settings=tuple(name for name in self.settings if name not in unused),
            models=tuple(role for role in self.models if role not in unasked),
            reads_if=(),
            settings_if=(),
            models_if=(),
        )

    def code_version(self, settings: Settings, model_sha256: Mapping[str, str]) -> str:
        """`<algorithm>-<12 hex>` over exactly the settings and weights that change this asset's result."""
        used = self.under(settings)
        payload = json.dumps([settings.section_hash(*used.settings), [model_sha256[role] for role in used.models]])
        return f"{self.algorithm}-{hashlib.sha256(payload.encode()).hexdigest()[:12]}"


DECLARATIONS: dict[str, Declaration] = {}


def is_joined(asset: str) -> bool:
    """True for assets over all episodes. `video` and other externals are per episode."""
    return asset in DECLARATIONS and DECLARATIONS[asset].joined


def is_by_class(asset: str) -> bool:
    """True for assets that are made class by class of regularization sets."""
    return asset in DECLARATIONS and DECLARATIONS[asset].by_class


def regularization_assets() -> set[str]:
    """All that a run for regularization sets makes."""
    return {name for name in DECLARATIONS if is_by_class(name)} | {"regularization_set"}


def parted(asset: str) -> str:
    """What an asset has one table for: `all`, `class` or `episode`."""
    return "all" if is_joined(asset) else "class" if is_by_class(asset) else "episode"


def behind(asset: str, settings: Settings) -> set[str]:
    """An asset with all that it is made from under these settings, without externals."""
    graph = declared(settings)
    return {asset, *(ancestors(graph[asset], graph) & graph.keys())}


def declared(settings: Settings) -> dict[str, Declaration]:
    """The graph of a project: what each asset reads under its settings."""
    return {name: declaration.under(settings) for name, declaration in DECLARATIONS.items()}


def ancestors(declaration: Declaration, graph: Mapping[str, Declaration] = DECLARATIONS) -> set[str]:
    """Everything that an asset is made from, externals too; without a project's graph, all that it may be made from."""
    found: set[str] = set()
    waiting = set(declaration.reads)
    while waiting:
        name = waiting.pop()
        found.add(name)
        if name in graph:
            waiting |= set(graph[name].reads) - found
    return found
