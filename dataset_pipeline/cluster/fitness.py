"""Whether a machine may work on runs: asked before it joins, and again before each run.

A worker that cannot see the sources fails one episode after another, faster than any that can: it has to stand back.
So whatever goes wrong while it looks at itself is a reason not to take the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from threading import Thread

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.host import host_name
from dataset_pipeline.cluster.tags import (
    SETTINGS_TAG,
    STORE_TAG,
    VERSIONS_TAG,
    named,
    settings_hash,
    store_id,
    versions,
)
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.models.device import DeviceUnavailable, onnx_device, torch_device
from dataset_pipeline.models.injected import known_weights, missing_weights, model_resources
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.roots import root_fault

PATIENCE_S = 60.0  # for a network drive that does not answer
HASHING_S = 900.0  # of weights that are read the first time
LOCK = "models.lock"

Check = Callable[[Settings], Iterable[str]]


def faults(settings: Settings, asks_models: bool, tags: Mapping[str, str] | None = None) -> list[str]:
    """Why this machine cannot work on a project, in sentences. asks_models: whether it will run models. tags: of the
    run that it would work on, which say what must be here as on the head."""
    expected = tags or {}
    if found := _mismatches(settings, expected):
        return found
    if found := _asked("the store", lambda it: _store_faults(it, expected.get(STORE_TAG, "")), settings):
        return found
    found = _asked("the sources", _source_faults, settings)
    if asks_models:
        found += _asked("the weights", _weight_faults, settings, HASHING_S)
        found += _asked("the device", _device_faults, settings)
    return found


def open_store(settings: Settings) -> list[str]:
    """Make the store one that workers take for the head's. Returns why that cannot be, in sentences."""

    def opened(settings: Settings) -> Iterator[str]:
        named(store_of(settings))
        yield from _store_faults(settings, "")

    return _asked("the store", opened, settings)


def agree_on_weights(settings: Settings, anew: bool = False) -> list[str]:
    """Make the weights of this machine those that all workers must have, if there are none yet or anew. Returns why
    they cannot be, in sentences."""
    return _asked("the weights", _lock_weights if anew else _weight_faults, settings, HASHING_S)


def _mismatches(settings: Settings, tags: Mapping[str, str]) -> list[str]:
    """What differs here from what a run was asked for with."""
    found = []
    if tags.get(VERSIONS_TAG, versions()) != versions():
        found.append(
            f"the head has {tags[VERSIONS_TAG]}, this worker {versions()}: bring both to the same, and start it again"
        )
    if tags.get(SETTINGS_TAG, here := settings_hash(settings)) != here:
        found.append("its settings are not those of the head: copy settings.local.toml and what that names")
    return found


def _store_faults(settings: Settings, expected: str) -> Iterator[str]:
    """Why it is not the store of the head, or cannot be written as safely as several must. A folder where no drive is
    mounted looks like an empty store, so that one without a name is none."""
    store = store_of(settings)
    here = store_id(store)
    if not here:
        yield (
            f"{store.root}, its store, is none that machines share: its drive is not mounted, or [store] root names "
            "another than on the head, or `dataset-pipeline engine init` was never run for it"
        )
    elif expected not in ("", here):
        yield f"{store.root}, its store, is not the store of the head: let [store] root name the same one"
    else:
        store.check_conditions()
        store.replace_agreed("last.look", {"machine": host_name(), "looked_s": time.time()})  # it can be written


def _source_faults(settings: Settings) -> Iterator[str]:
    """The roots are there, and none is an empty folder where something is known to lie."""
    for root in settings.episodes.roots:
        if root_fault(root) and (fault := root_fault(root, may_be_empty=not store_of(settings).episodes("video"))):
            yield fault


def _weight_faults(settings: Settings) -> Iterator[str]:
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


def _lock_weights(settings: Settings) -> Iterator[str]:
    resources = model_resources(settings)
    if missing := missing_weights(resources):
        yield from missing
    else:
        store_of(settings).replace_agreed(LOCK, known_weights(resources))


def _device_faults(settings: Settings) -> Iterator[str]:
    if not settings.models.device.startswith("cuda"):
        return
    try:
        torch_device(settings.models.device)
        onnx_device(settings.models.device)
    except DeviceUnavailable as error:
        yield str(error)


def _asked(what: str, check: Check, settings: Settings, patience_s: float | None = None) -> list[str]:
    """What a check finds; also that it cannot be made, or takes too long: a network drive may hang for ever."""
    patience_s = PATIENCE_S if patience_s is None else patience_s
    done: Future[list[str]] = Future()

    def ask() -> None:
        try:
            done.set_result([*check(settings)])
        except (OSError, PermanentError) as error:
            done.set_result([f"{what} cannot be used: {error}"])
        except Exception as error:
            done.set_exception(error)

    Thread(target=ask, daemon=True).start()  # which nobody waits for at the end, as for those of a pool
    try:
        return done.result(patience_s)
    except TookTooLong:
        return [f"{what} did not answer within {patience_s:.0f} s"]
