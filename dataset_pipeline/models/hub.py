"""Listing, fetching and verifying weights. Only `pull` uses the network.

`pull` writes down in models.lock.json, beside hub/, the commit each repository was taken at and the sha256 of every
file; pulling again on another machine with that file takes the same commits.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.base.paths import fault_of_path, write_whole
from dataset_pipeline.models.checksums import write_json
from dataset_pipeline.models.registry import (
    ROLES,
    HubFile,
    ModelEntry,
    ModelPack,
    PackageFile,
    RegistryError,
    Role,
    repository_folder,
)

LOCK_VERSION = 1
_COMMIT = re.compile(r"[0-9a-f]{40}")
Source = tuple[str, str]  # repository, revision


class PullFailed(PermanentError, RuntimeError):
    """Weights could not be fetched; the message names the repository, the file, the reason and what to do."""


@dataclass(frozen=True)
class ModelStatus:
    """One model of models.toml: whether the pack uses it, and what of it is on this machine."""

    entry: ModelEntry
    used: bool
    present: bool
    size_bytes: int


@dataclass(frozen=True)
class PullProgress:
    """File `number` of `total` is about to be fetched (`size_bytes` None) or is there."""

    file: HubFile
    number: int
    total: int
    size_bytes: int | None = None


@dataclass(frozen=True)
class FileCheck:
    """A recorded or needed file and what is wrong with it (empty if nothing is)."""

    path: Path
    problem: str


def list_models(pack: ModelPack) -> list[ModelStatus]:
    """Every model of models.toml, role by role, and whether this pack uses it and has it."""
    used = {name for role in ROLES for name in pack.roles[role]}
    statuses = []
    for entry in sorted(pack.registry.models.values(), key=lambda entry: ROLES.index(entry.role)):
        present = pack.has(entry)
        size = sum(path.stat().st_size for _, path in pack.present_files(entry).values()) if present else 0
        statuses.append(ModelStatus(entry, entry.name in used, present, size))
    return statuses


def pull(
    pack: ModelPack,
    roles: Sequence[Role] = ROLES,
    update: bool = False,
    progress: Callable[[PullProgress], None] | None = None,
    endpoint: str | None = None,
) -> list[Path]:
    """Fetch the files of the models that the pack uses for these roles; what is there already is not fetched again, nor
    what comes with a Python package.

    Repositories named in the lock are taken at the commit written there; with `update`, and for others, at the newest
    commit of their revision. HF_HUB_OFFLINE is lifted for the time of the call. Files become visible to the pack only
    when all of them are there. endpoint: another hub address (HF_ENDPOINT works too).
    Raises PullFailed; RegistryError for a pack that is shipped with the project.
    """
    if not pack.pullable:
        raise RegistryError(f"the pack {pack.name!r} is shipped in {pack.root}; there is nothing to pull")
    wanted = [
        (model, on_hub, optional)
        for role in roles
        for model in pack.models(role)
        for files, optional in ((model.files, False), (model.optional_files, True))
        for alternatives in files.values()
        if (on_hub := [file for file in alternatives if isinstance(file, HubFile)])
    ]
    lock = _read_lock(pack)
    commits: dict[Source, str] = {}
    fetched: dict[Source, list[Path]] = {}

    def fetch(file: HubFile, number: int) -> Path | None:
        source = (file.repository, file.revision)
        if source not in commits:
            locked = None if update else lock["commits"].get("@".join(source))
            commits[source] = locked or _newest_commit(file, endpoint)
        if progress:
            progress(PullProgress(file, number, len(wanted)))
        path = _fetch(file, commits[source], pack.hub, endpoint)
        if path is not None:
            fetched.setdefault(source, []).append(path)
            if progress:
                progress(PullProgress(file, number, len(wanted), path.stat().st_size))
        return path

    with _online():
        for number, (model, alternatives, optional) in enumerate(wanted, start=1):
            if all(fetch(file, number) is None for file in alternatives) and not optional:
                tried = ", ".join(map(str, alternatives))
                raise PullFailed(f"the model {model.name!r} has no such file on the hub: {tried}")
    _record(pack, lock, commits, fetched)
    return [path for paths in fetched.values() for path in paths]


def verify(pack: ModelPack) -> list[FileCheck]:
    """Read every file that the pack's record lists, or that its models need, and compare it with the recorded sha256.

    Raises FileNotFoundError if the pack has no record, PullFailed for one that is none.
    """
    if not pack.record.is_file():
        raise FileNotFoundError(f"{pack.record} does not exist: there is nothing to compare the weights with")
    recorded = _texts(_read_record(pack), "files", pack)
    needed = {
        path.relative_to(pack.root).as_posix()
        for role in ROLES
        for model in pack.models(role)
        if pack.has(model)
        for file, path in pack.present_files(model).values()
        if not isinstance(file, PackageFile)  # its sha256 stands in models.toml, and it was just compared
    }
    return [FileCheck(pack.root / name, _problem(pack, name, recorded)) for name in sorted({*recorded, *needed})]


def _problem(pack: ModelPack, name: str, recorded: dict[str, str]) -> str:
    if fault := fault_of_path(name):
        return f"{fault}: it is none of the pack's files, and was not read"
    path = pack.root / name
    if not path.is_file():
        return "missing"
    if name not in recorded:
        return f"not listed in {pack.record.name}"
    actual = sha256_of_file(path)
    return "" if actual == recorded[name] else f"sha256 is {actual}, recorded is {recorded[name]}"


def _read_lock(pack: ModelPack) -> dict[str, Any]:
    if not pack.record.is_file():
        return {"version": LOCK_VERSION, "commits": {}, "files": {}}
    lock = _read_record(pack)
    if lock.get("version") != LOCK_VERSION:
        raise PullFailed(f"{pack.record} has version {lock.get('version')}; this program writes version {LOCK_VERSION}")
    _texts(lock, "files", pack)
    for source, commit in _texts(lock, "commits", pack).items():
        if not _COMMIT.fullmatch(commit):  # it becomes the name of a folder
            raise PullFailed(f"{pack.record}: commits, {source}: {commit!r} is no commit; remove that line")
    return lock


def _read_record(pack: ModelPack) -> dict[str, Any]:
    """What the pack's record holds; another machine may have written it. Raises PullFailed."""
    try:
        record = json.loads(pack.record.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PullFailed(
            f"{pack.record} cannot be read ({error}); bring it back, or remove it and pull again"
        ) from None
    if not isinstance(record, dict):
        raise PullFailed(f"{pack.record} is no record of a pack; bring it back, or remove it and pull again")
    return record


def _texts(record: dict[str, Any], key: str, pack: ModelPack) -> dict[str, str]:
    found = record.get(key)
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise PullFailed(
            f"{pack.record}: {key} is no list of names and texts; bring it back, or remove it and pull again"
        )
    return found


def _newest_commit(file: HubFile, endpoint: str | None) -> str:
    from huggingface_hub import HfApi

    try:
        return str(HfApi(endpoint=endpoint).model_info(file.repository, revision=file.revision).sha)
    except Exception as error:
        raise PullFailed(_failure(file, error)) from error


def _fetch(file: HubFile, commit: str, hub: Path, endpoint: str | None) -> Path | None:
    """The fetched file, or None if the repository has no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        path = Path(hf_hub_download(file.repository, file.path, revision=commit, cache_dir=hub, endpoint=endpoint))
    except RemoteEntryNotFoundError:
        return None
    except Exception as error:
        raise PullFailed(_failure(file, error)) from error
    # The hub keeps large files under their sha256 and does not compare it itself.
    content = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", content) and sha256_of_file(path) != content:
        path.resolve().unlink()
        raise PullFailed(f"{file} arrived damaged and was removed; pull again")
    return path


def _failure(file: HubFile, error: Exception) -> str:
    return (
        f"{file.path} of {file.repository} (revision {file.revision}) could not be fetched: "
        f"{type(error).__name__}: {error}. A machine without access to the hub can be given another pull's folder."
    )


def _record(
    pack: ModelPack, lock: dict[str, Any], commits: dict[Source, str], fetched: dict[Source, list[Path]]
) -> None:
    for (repository, revision), paths in fetched.items():
        folder, commit = repository_folder(repository), commits[repository, revision]
        current = f"hub/{folder}/snapshots/{commit}/"
        lock["commits"][f"{repository}@{revision}"] = commit
        lock["files"] = {
            name: sha256
            for name, sha256 in lock["files"].items()
            if not name.startswith(f"hub/{folder}/") or name.startswith(current)
        }
        lock["files"].update({path.relative_to(pack.root).as_posix(): sha256_of_file(path) for path in paths})
    write_json(pack.record, lock)
    for repository, revision in fetched:
        if commits[repository, revision] != revision:
            reference = pack.hub / repository_folder(repository) / "refs" / revision
            write_whole(reference, commits[repository, revision].encode())


@contextlib.contextmanager
def _online() -> Iterator[None]:
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
