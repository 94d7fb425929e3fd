"""What resources/models.toml says, and finding a pack's files on disk without any network call.

A *pack* is a folder with `hub/` in the layout of a Hugging Face cache (`models--<owner>--<name>/refs/<revision>` and
`snapshots/<commit>/<path>`), so that any hub client given the same folder as HF_HOME finds the same files.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.paths import fault_of_path
from dataset_pipeline.models.checksums import sha256_of
from dataset_pipeline.settings import resources_folder

Role = Literal["embedder", "detector", "identity", "quality", "tagger", "text_detector", "pose"]
ROLES: tuple[Role, ...] = get_args(Role)


class RegistryError(PermanentError, ValueError):
    """models.toml, or a model named in the settings, cannot be used; the message names the file and the key."""


class WeightsMissing(PermanentError, FileNotFoundError):
    """A model's file is not on this machine; the message names the role, the repository, the file and what to do."""


@dataclass(frozen=True)
class HubFile:
    """One file of a hub repository."""

    repository: str
    revision: str
    path: str

    _FORM = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?/(?P<path>[^/\\].*)")

    @classmethod
    def parse(cls, text: str) -> HubFile:
        match = cls._FORM.fullmatch(text)
        if match is None or ".." in match["path"].split("/"):
            raise ValueError(f"{text!r} is not '<owner>/<repository>[@revision]/<path>'")
        return cls(match["repository"], match["revision"] or "main", match["path"])

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"{self.repository}{at}/{self.path}"


@dataclass(frozen=True)
class PackageFile:
    """One file of an installed Python package, which every pack finds at the same place. `path` is below the folder
    that packages are installed in."""

    package: str
    path: str
    sha256: str

    _FORM = re.compile(r"python:(?P<package>[\w.-]+)/(?P<path>[^/\\#][^\\#]*)#(?P<sha256>[0-9a-f]{64})")

    @classmethod
    def parse(cls, text: str) -> PackageFile:
        match = cls._FORM.fullmatch(text)
        if match is None or ".." in match["path"].split("/"):
            raise ValueError(f"{text!r} is not 'python:<package>/<path>#<sha256>'")
        return cls(match["package"], match["path"], match["sha256"])

    @property
    def version(self) -> str:
        """The installed version; empty without it."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def find(self) -> Path | None:
        """Where it lies, or None."""
        if not self.version:
            return None
        path = Path(str(importlib.metadata.distribution(self.package).locate_file(self.path)))
        return path if path.is_file() else None

    def __str__(self) -> str:
        return f"python:{self.package}/{self.path}"


WeightFile = HubFile | PackageFile


def repository_folder(repository: str) -> str:
    """The folder of a repository in a Hugging Face cache."""
    return f"models--{repository.replace('/', '--')}"


def _alternatives(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    return tuple((PackageFile if text.startswith("python:") else HubFile).parse(text) for text in texts)


# The first of these that the repository has.
Alternatives = Annotated[tuple[WeightFile, ...], BeforeValidator(_alternatives), Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class ModelEntry(_Entry):
    """One [models.*] table."""

    name: str
    role: Role
    purpose: str
    licence: str
    size_mb: float
    files: dict[str, Alternatives] = {}
    optional_files: dict[str, Alternatives] = {}
    kind: str = ""
    conf_threshold: float = 0.0
    iou_threshold: float = 0.0
    metric: str = ""
    lower_is_better: bool = False
    family: Literal["wd14", "deepdanbooru", "ml_danbooru", "pixai", "camie", "timm"] = "wd14"

    @model_validator(mode="after")
    def _fits_its_role(self) -> ModelEntry:
        needed: dict[str, tuple[str, ...]] = {
            "embedder": ("config", "weights"),
            "detector": ("model",),
            "identity": ("features", "differences", "metrics"),
            "quality": (),
            "tagger": ("model", "tags"),
            "text_detector": ("model",),
            "pose": ("model",),
        }
        by_file = ("preprocess",) if self.family in ("pixai", "camie", "timm") else ()
        absent = [key for key in needed[self.role] + by_file if key not in self.files]
        if absent:
            raise ValueError(f"a {self.role} needs files.{', files.'.join(absent)}")
        if (self.role == "detector") != bool(self.kind):
            raise ValueError("detectors, and only they, name the `kind` of box they find")
        if (self.role == "quality") != bool(self.metric):
            raise ValueError("quality models, and only they, name pyiqa's `metric`")
        return self


class PackEntry(_Entry):
    """One [packs.*] table: which model each role uses."""

    path: str = ""
    demo: bool = False
    embedder: str
    detector: list[str]
    identity: str
    quality: str
    tagger: str | Annotated[list[str], Field(min_length=1)]
    text_detector: str
    pose: str

    def chosen(self, role: Role) -> tuple[str, ...]:
        names = getattr(self, role)
        return (names,) if isinstance(names, str) else tuple(names)


class Registry(_Entry):
    """All of models.toml."""

    source: Path
    models: dict[str, ModelEntry]
    packs: dict[str, PackEntry]
    refused_metrics: dict[str, str] = {}

    def model(self, name: str, role: Role) -> ModelEntry:
        """The entry of this name; RegistryError if there is none or it has another role."""
        entry = self.models.get(name)
        if role == "quality" and entry is None and name in self.refused_metrics:
            raise RegistryError(f"{self.source}: {name!r} is not served: {self.refused_metrics[name]}")
        if entry is None or entry.role != role:
            known = ", ".join(entry.name for entry in self.models.values() if entry.role == role)
            raise RegistryError(f"{self.source}: there is no {role} named {name!r}; there are: {known}")
        return entry

    def pack(self, name: str) -> PackEntry:
        """The pack of this name; RegistryError if there is none."""
        entry = self.packs.get(name)
        if entry is None:
            raise RegistryError(f"{self.source}: there is no pack {name!r}; there are: {', '.join(self.packs)}")
        return entry


@functools.lru_cache(maxsize=8)
def load_registry(path: Path | None = None) -> Registry:
    """Read models.toml (the project's, unless another is given). Raises RegistryError."""
    path = path or resources_folder() / "models.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RegistryError(f"{path}: {error}") from error
    for name, entry in table.get("models", {}).items():
        entry["name"] = name
    try:
        registry = Registry.model_validate({"source": path, **table})
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise RegistryError(f"{path}: " + "; ".join(lines)) from None
    for pack in registry.packs.values():
        for role in ROLES:
            for model in pack.chosen(role):
                registry.model(model, role)
    return registry


@dataclass(frozen=True)
class ModelFingerprint:
    """Which weights a role used.

    `sha256` combines the names and contents of all files of all its models; `repositories` maps each repository to
    the commit its files come from, each Python package to its version; `files` maps "<repository>/<path>" to that
    file's sha256.
    """

    role: str
    model: str
    repositories: dict[str, str]
    sha256: str
    files: dict[str, str]
    demo: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for metadata and JSON."""
        return asdict(self)


def cache_folder() -> Path:
    """Where pulled weights lie by default: a folder of this project's own in the platform's cache folder."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "dataset_pipeline"


@dataclass(frozen=True)
class ModelPack:
    """The models one run uses and the folder their files lie in."""

    name: str
    root: Path
    demo: bool
    pullable: bool
    registry: Registry
    roles: Mapping[Role, tuple[str, ...]]

    @classmethod
    def open(
        cls,
        name: str = "real",
        cache: str | Path = "",
        overrides: Mapping[str, str | Sequence[str]] | None = None,
        registry: Registry | None = None,
    ) -> ModelPack:
        """The pack called `name` in models.toml.

        cache: the folder that holds `hub/` for packs without a `path` of their own; empty = `cache_folder()`.
        overrides: another model for a role, by name; for the tagger one name or several; for the detector several
            names, each replacing the pack's model of the same kind of box, or adding a kind. Empty values change
            nothing.
        Raises RegistryError, also for a model that is named twice.
        """
        registry = registry or load_registry()
        entry = registry.pack(name)
        if entry.path:
            root = registry.source.parent / entry.path
        else:
            root = Path(cache).expanduser() if str(cache) else cache_folder()
        roles: dict[Role, tuple[str, ...]] = {role: entry.chosen(role) for role in ROLES}
        for role in ROLES:
            value = (overrides or {}).get(role)
            if not value:
                continue
            names = (value,) if isinstance(value, str) else tuple(value)
            if twice := sorted(name for name, count in Counter(names).items() if count > 1):
                raise RegistryError(f"{twice[0]!r} is named twice under [models] {role}: name each model once")
            chosen = [registry.model(name, role) for name in names]
            if role == "detector":
                by_kind = {registry.model(old, role).kind: old for old in roles[role]}
                by_kind.update({new.kind: new.name for new in chosen})
                names = tuple(by_kind.values())
            roles[role] = names
        return cls(name, root.resolve(), entry.demo, not entry.path, registry, roles)

    @property
    def hub(self) -> Path:
        """The folder in the layout of a Hugging Face cache."""
        return self.root / "hub"

    @property
    def record(self) -> Path:
        """The file that lists the pack's files with their sha256."""
        return self.root / ("models.lock.json" if self.pullable else "pack.json")

    def models(self, role: Role) -> tuple[ModelEntry, ...]:
        """The entries this pack uses for a role: several for the detector and maybe the tagger, else one."""
        return tuple(self.registry.model(name, role) for name in self.roles[role])

    def commit(self, file: HubFile) -> str:
        """The commit that the file's revision stands for in this pack; the revision itself if nothing is there."""
        reference = self._repository(file) / "refs" / file.revision
        if not reference.is_file():
            return file.revision
        commit = reference.read_text("utf-8", errors="replace").strip()
        if fault_of_path(commit) or "/" in commit:  # it is the name of a folder
            raise RegistryError(f"{reference} names {commit[:100]!r}, which is no commit: remove it and pull again")
        return commit

    def find(self, file: WeightFile) -> Path | None:
        """Where the file lies, or None."""
        if isinstance(file, PackageFile):
            return file.find()
        path = self._repository(file) / "snapshots" / self.commit(file) / file.path
        return path if path.is_file() else None

    def file(self, model: ModelEntry, key: str) -> Path:
        """The file a model calls `key`. Raises WeightsMissing."""
        return self._present(model, key)[1]

    def has(self, model: ModelEntry) -> bool:
        """Whether every file the model needs is there."""
        return all(any(self.find(file) for file in alternatives) for alternatives in model.files.values())

    def present_files(self, model: ModelEntry) -> dict[str, tuple[WeightFile, Path]]:
        """Every needed file and every optional one that is there, by key. Raises WeightsMissing."""
        present = {key: self._present(model, key) for key in model.files}
        for key, alternatives in model.optional_files.items():
            found = next(((file, path) for file in alternatives if (path := self.find(file))), None)
            if found:
                present[key] = found
        return present

    def fingerprint(self, role: Role, models: Sequence[ModelEntry] | None = None) -> ModelFingerprint:
        """Which weights the role (or only the given models of it) uses. Raises WeightsMissing."""
        chosen = tuple(models) if models is not None else self.models(role)
        digest = hashlib.sha256()
        repositories: dict[str, str] = {}
        files: dict[str, str] = {}
        for model in chosen:
            digest.update(f"{model.name}\n".encode())
            for key, (file, path) in sorted(self.present_files(model).items()):
                sha256 = self._sha256_of(path)
                digest.update(f"{key} {sha256}\n".encode())
                if isinstance(file, PackageFile):
                    repositories[file.package] = file.version
                else:
                    repositories[file.repository] = self.commit(file)
                files[str(file)] = sha256
        names = "+".join(model.name for model in chosen)
        return ModelFingerprint(role, names, repositories, digest.hexdigest(), files, self.demo)

    def _repository(self, file: HubFile) -> Path:
        return self.hub / repository_folder(file.repository)

    def _sha256_of(self, path: Path) -> str:
        return sha256_of(path, self.root / "sha256.json" if self.pullable else None)

    def _present(self, model: ModelEntry, key: str) -> tuple[WeightFile, Path]:
        for file in model.files[key]:
            if (path := self.find(file)) is None:
                continue
            if isinstance(file, PackageFile) and self._sha256_of(path) != file.sha256:
                raise WeightsMissing(
                    f"the {model.role} {model.name!r} needs {path} as it was in models.toml, with the sha256 "
                    f"{file.sha256}, and it is another: install the {file.package} that pyproject.toml asks for"
                )
            return file, path
        wanted = model.files[key][0]
        if isinstance(wanted, PackageFile):
            raise WeightsMissing(
                f"the {model.role} {model.name!r} of the pack {self.name!r} needs {wanted.path} of the Python package "
                f"{wanted.package}, which is not installed here: install the project with its dependencies (uv sync)"
            )
        remedy = (
            "fetch it once with: dataset-pipeline models pull"
            if self.pullable
            else f"restore {self.root} from the project's repository"
        )
        raise WeightsMissing(
            f"the {model.role} {model.name!r} of the pack {self.name!r} needs {wanted.path} of {wanted.repository} "
            f"(revision {wanted.revision}), which is not in {self.hub}; {remedy}"
        )
