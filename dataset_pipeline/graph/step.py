"""An asset at work: the one object that its body sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_pipeline.base.ids import show_of
from dataset_pipeline.graph.declaration import is_joined
from dataset_pipeline.graph.lineage import table_name
from dataset_pipeline.graph.measuring import Measuring
from dataset_pipeline.graph.project import published
from dataset_pipeline.graph.versions import MAY_BE_ABSENT, NO_ROWS, version_for
from dataset_pipeline.store.lineage import Lineage
from dataset_pipeline.store.schemas import SCHEMAS, TableSchema


class Step(Measuring):
    """One asset at work on one episode, or on all of them if the asset is joined.

    What it may read comes from Reading, its pictures from Pictures, what models say of them from Measuring; joining
    show by show and exporting are added here.
    """

    def by_show(self, join: Callable[[str, list[str]], list[dict]]) -> tuple[pa.Table, int]:
        """This joined asset's table, made show by show, and how many shows were joined.

        `join(show, episodes)` gives the rows of a show, but for `made_from`, out of those of its episodes that have
        every table this asset reads. It is not asked where these tables, this asset's settings, the weights of its
        models and who is remembered of the show are those of last time: then the rows of last time stay.
        """
        schema = SCHEMAS[self.declaration.name]
        shows: dict[str, list[str]] = {}
        for episode in sorted(self.episodes):
            needed = (asset for asset in self.declaration.reads if not is_joined(asset) and asset not in MAY_BE_ABSENT)
            if all(self.pointer(asset, episode) for asset in needed):
                shows.setdefault(show_of(episode), []).append(episode)
        made_from = {show: self._made_from(show, episodes) for show, episodes in shows.items()}
        kept = _rows_made_from(self._work.store.previous(self.declaration.name), made_from, schema)
        again = sorted(shows.keys() - set(kept["show"].to_pylist()))
        joined = []
        for show in again:
            rows = join(show, shows[show])
            version = self._made_from(show, shows[show])  # with those whom the join has added to the identity log
            joined.append(schema.table([{**row, "made_from": version} for row in rows]))
        table = pa.concat_tables([kept, *joined])
        return table.sort_by([(name, "ascending") for name in schema.key]), len(again)

    def _made_from(self, show: str, episodes: Sequence[str]) -> str:
        """Hash of everything the rows of a show depend on."""
        versions, reader = [], self.declaration.name
        for asset in self.declaration.reads:
            if is_joined(asset):
                pointer = self.pointer(asset)
                versions += [(asset, ep, version_for(ep, asset, pointer, reader)) for ep in episodes if pointer]
            else:
                found = ((episode, self.pointer(asset, episode)) for episode in episodes)
                versions += [
                    (asset, episode, version)
                    for episode, pointer in found
                    if pointer and (version := version_for(None, asset, pointer, reader)) != NO_ROWS
                ]
        if self.declaration.remembers:
            versions.append(("identity log", show, self.identity_log.version(show)))
        return hashlib.sha256(json.dumps([self.code_version, versions]).encode()).hexdigest()[:16]

    @property
    def export_root(self) -> Path:
        """The folder that exported sets are written into, for an asset that declares that it exports."""
        if not self.declaration.exports:
            raise LookupError(f"{self.declaration.name} does not declare that it exports")
        return self._work.resources.export_root

    def published(self, folder: Path) -> str:
        """Where a set is to be had that was written into `export_root`; see `project.published`."""
        return published(self._work.settings, folder)

    @property
    def class_folder(self) -> Path | None:
        """Where pictures of the class at work lie on this machine, if it takes them from a folder. It stands in no
        declared section, as where they lie makes nothing out of date."""
        if not self.declaration.by_class or self.episode is None:
            raise LookupError(f"{self.declaration.name} is not made by class")
        return self._work.settings.regularization.named(self.episode).pictures_folder

    @property
    def generator(self) -> Any:
        """What makes pictures from text, for an asset that declares that it generates."""
        if not self.declaration.generates:
            raise LookupError(f"{self.declaration.name} does not declare that it generates")
        return self._work.resources.generator

    def lineage(self, asset: str) -> Lineage | None:
        """What the current table of a declared joined asset was made from; None if that was not noted."""
        pointer = self.pointer(asset)
        return self._work.store.lineage(asset, table_name(pointer)) if pointer else None

    def origin(self, asset: str) -> dict[str, Any]:
        """What a set's manifest says of where it comes from: versions and whether demo models had a part in it."""
        pointer = self.pointer(asset)
        assert pointer is not None
        return {"made_with_demo_models": pointer.provenance.demo, asset: pointer.data_version}


def _rows_made_from(before: pa.Table | None, made_from: Mapping[str, str], schema: TableSchema) -> pa.Table:
    """Those rows of last time that joining their shows again would give."""
    if before is None:
        return schema.empty()
    rows = zip(before["show"].to_pylist(), before["made_from"].to_pylist(), strict=True)
    return before.filter(pa.array([made_from.get(show) == made for show, made in rows], pa.bool_()))
