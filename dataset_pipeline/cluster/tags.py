"""The tags of a run that say which worker may take it: its queue, and what must be the same there as on the head."""

from __future__ import annotations

import hashlib
import json
import uuid
from functools import cache
from importlib.metadata import version

import dagster as dg

from dataset_pipeline.cluster.home import GPU, HEAD, QUEUE_TAG
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.project import LOCATIONS, store_of
from dataset_pipeline.models.registry import ROLES
from dataset_pipeline.settings import PACKAGE, Settings
from dataset_pipeline.store.store import Store

SETTINGS_TAG = "dataset_pipeline/settings_hash"
VERSIONS_TAG = "dataset_pipeline/versions"
STORE_TAG = "dataset_pipeline/store"
WORKER_TAG = "dataset_pipeline/worker"  # who works on it
REFUSED_TAG = "dataset_pipeline/refused"  # who did not want it, and why
HEAD_JOBS = frozenset({"export"})
STORE = "store"  # under this all who use a store agree on its name


def queue_of(run: dg.DagsterRun) -> str:
    """`head` for what is joined, projected, decided or exported if nothing in the run asks a model; else `gpu`."""
    if chosen := run.tags.get(QUEUE_TAG):
        return chosen
    if run.job_name in HEAD_JOBS:
        return HEAD
    names = {key.path[-1] for key in run.asset_selection or ()}
    return HEAD if names and not any(_asks_models(name) for name in names & DECLARATIONS.keys()) else GPU


def _asks_models(asset: str) -> bool:
    declaration = DECLARATIONS[asset]
    return bool(declaration.models or declaration.generates or declaration.kind.value in ("measure", "render"))


def settings_of(run: dg.DagsterRun) -> Settings | None:
    """The settings, as this machine has them, of the code location that a run belongs to; None if that is no project of
    ours."""
    origin = run.job_code_origin
    pointer = origin.repository_origin.code_pointer if origin else None
    if getattr(pointer, "module", "") != "dataset_pipeline.definitions":
        return None
    load = LOCATIONS.get(getattr(pointer, "fn_name", ""))
    return load() if load else None


def expectations(settings: Settings) -> dict[str, str]:
    """The tags of what must be the same on the machine that asks for a run and on the one that takes it."""
    return {SETTINGS_TAG: settings_hash(settings), VERSIONS_TAG: versions(), STORE_TAG: named(store_of(settings))}


def settings_hash(settings: Settings) -> str:
    """Over all sections that assets read, which models are chosen, and what the roots are called, by which pointers
    name them: what decides a result, and whether sources are found."""
    sections = {section for declaration in DECLARATIONS.values() for section in declaration.settings}
    chosen = settings.models.model_dump(include={"pack", *ROLES})
    told = json.dumps([settings.section_hash(*sections), chosen, sorted(settings.episodes.roots)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


@cache
def versions() -> str:
    """Of this package, with a hash of its code as it was when this was asked first, and of Dagster."""
    code = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        code.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode())
        code.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return f"dataset-pipeline {version('dataset-pipeline')}+{code.hexdigest()[:8]}, dagster {version('dagster')}"


def store_id(store: Store) -> str:
    """A name that a store keeps: two machines that read another one have another store, whatever it is called there.
    Empty if it has none."""
    return str((store.agreed(STORE) or {}).get("id", ""))


def named(store: Store) -> str:
    """As `store_id`, of a store that is given one if it has none."""
    return str(store.agree(STORE, {"id": uuid.uuid4().hex[:12]}).get("id", ""))
