"""Whether a machine may work on runs: asked before it joins, and again before each run.

A worker that cannot see the sources fails one episode after another, faster than any that can: it has to stand back.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from threading import Thread

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.host import host_name
from dataset_pipeline.cluster.tags import SETTINGS_TAG, STORE_TAG, VERSIONS_TAG, settings_hash, store_id, versions
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.models.device import DeviceUnavailable, onnx_device, torch_device
from dataset_pipeline.models.injected import known_weights, missing_weights, model_resources
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.roots import root_fault

PATIENCE_S = 60.0  # for a network drive that does not answer
LOCK = "models.lock"


def faults(settings: Settings, asks_models: bool) -> list[str]:
    """Why this machine cannot work on a project, in sentences. asks_models: whether it will run models."""
    checks = [_source_faults, *([weight_faults, _device_faults] if asks_models else [])]
    return _in_time(lambda: [*store_faults(settings)] or [fault for check in checks for fault in check(settings)])


def mismatches(settings: Settings, tags: Mapping[str, str]) -> list[str]:
    """What differs here from what a run was asked for with, in sentences."""
    found = []
    if tags.get(VERSIONS_TAG, versions()) != versions():
        found.append(
            f"the head has {tags[VERSIONS_TAG]}, this worker {versions()}: bring both to the same, and start it again"
        )
    if tags.get(SETTINGS_TAG, here := settings_hash(settings)) != here:
        found.append("its settings are not those of the head: copy settings.local.toml and what that names")
    if STORE_TAG in tags:
        store = store_of(settings)
        if _in_time(lambda: [store_id(store)]) != [tags[STORE_TAG]]:
            found.append(f"{store.root}, its store, is not the store of the head: let [store] root name the same one")
    return found


def lock_weights(settings: Settings) -> dict[str, str]:
    """Make the weights of this machine those that all workers must have. Returns their sha256 by role. Raises
    ClusterError where some are missing."""
    weights = known_weights(model_resources(settings))
    if missing := missing_weights(model_resources(settings)):
        raise PermanentError("\n".join(missing))
    store_of(settings).replace_agreed(LOCK, weights)
    return weights


def _source_faults(settings: Settings) -> Iterator[str]:
    """The roots are there, and none is an empty folder where something is known to lie."""
    known = bool(store_of(settings).episodes("video"))
    try:
        yield from filter(None, (root_fault(root, may_be_empty=not known) for root in settings.episodes.roots))
    except PermanentError as error:
        yield str(error)


def store_faults(settings: Settings) -> Iterator[str]:
    """Why this machine cannot write the store as safely as several must. It notes there that it looked."""
    try:
        store = store_of(settings)
        store.check_conditions()
        name = hashlib.sha256(host_name().encode()).hexdigest()[:12]
        store.write_note("workers", name, {"machine": host_name(), "looked_s": time.time()})
    except (OSError, PermanentError) as error:
        yield f"[store] root = {settings.store.root!r} cannot be used: {error}"


def weight_faults(settings: Settings) -> Iterator[str]:
    resources = model_resources(settings)
    if missing := missing_weights(resources):
        yield from missing
        return
    here = known_weights(resources)
    agreed = store_of(settings).agree(LOCK, here)
    for role in sorted({role for role in here.keys() | agreed.keys() if here.get(role) != agreed.get(role)}):
        yield (
            f"the weights of the {role} are not those of the cluster: pull them again, or, if they shall change for "
            "all, run `dataset-pipeline engine init --weights` here"
        )


def _device_faults(settings: Settings) -> Iterator[str]:
    if not settings.models.device.startswith("cuda"):
        return
    try:
        torch_device(settings.models.device)
        onnx_device(settings.models.device)
    except DeviceUnavailable as error:
        yield str(error)


def _in_time(check: Callable[[], list[str]]) -> list[str]:
    """What a check says, or that it takes too long: a network drive may hang for ever."""
    done: Future[list[str]] = Future()

    def ask() -> None:
        try:
            done.set_result(check())
        except Exception as error:
            done.set_exception(error)

    Thread(target=ask, daemon=True).start()  # which nobody waits for at the end, as for those of a pool
    try:
        return done.result(PATIENCE_S)
    except TookTooLong:
        return [f"sources or store did not answer within {PATIENCE_S:.0f} s"]
