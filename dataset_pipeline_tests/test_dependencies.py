"""What the package imports is what it declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import dataset_pipeline

PACKAGE = Path(dataset_pipeline.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))

# Packages that go by another name where they are imported.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-contrib-python-headless",
    "imgutils": "dghs-imgutils",
    "onnxruntime": "onnxruntime-gpu",
    "open_clip": "open-clip-torch",
    "pillow_jxl": "pillow-jxl-plugin",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# Declared without being imported, and why.
NOT_IMPORTED = {
    "dagster-webserver": "`dataset-pipeline dev` starts it",
    "dghs-imgutils": "imported by the name of its module, see models/imports.py",
    "setuptools": "pyiqa imports its pkg_resources",
    "pandas": "imgutils reads its tag lists with it",
    "onnxruntime": "stands in for onnxruntime-gpu where that has no wheel",
    "onnx": "torch exports hyperIQA with it",
    "nvidia-curand": "onnxruntime-gpu loads its library",
    "accelerate": "diffusers fills networks with it as it makes them, not a second time",
    "rapidocr": "the weights of the text detector are read from its folder",
}
TRAINER = PACKAGE / "demo" / "training"  # made the shipped models; the dev group has what it alone needs


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


EXTRAS = [
    line
    for lines in PROJECT["project"]["optional-dependencies"].values()
    for line in lines
    if not line.startswith(f"{PROJECT['project']['name']}[")  # an extra that holds another
]


@cache
def declared(group: str = "") -> frozenset[str]:
    """The packages of a group, or with none those that are always there; `extras`: those of all extras."""
    lines = PROJECT["project"]["dependencies"]
    if group:
        lines = EXTRAS if group == "extras" else PROJECT["dependency-groups"][group]
    return frozenset(normal(re.split(r"[<>=!~;\[ ]", line)[0]) for line in lines)


def imported_by(module: Path) -> Iterator[str]:
    """The top names of what a module imports, wherever in it the import stands, but for Python's own and ours."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in (full.split(".")[0] for full in names):
            if name not in sys.stdlib_module_names and name != PACKAGE.name:
                yield normal(DISTRIBUTIONS.get(name, name))


@cache
def imported(trainer: bool) -> frozenset[str]:
    modules = (path for path in PACKAGE.rglob("*.py") if path.is_relative_to(TRAINER) == trainer)
    return frozenset(name for module in modules for name in imported_by(module))


def test_every_package_that_is_imported_is_declared():
    assert imported(trainer=False) - declared() - declared("extras") == set()
    assert imported(trainer=True) - declared() - declared("dev") == set()


def test_every_package_that_is_declared_is_imported_or_named_with_its_reason():
    assert (declared() | declared("extras")) - imported(trainer=False) - NOT_IMPORTED.keys() == set()


def test_no_reason_outlives_its_package():
    assert NOT_IMPORTED.keys() - declared() - declared("extras") == set()
    assert NOT_IMPORTED.keys() & imported(trainer=False) == set()


@pytest.mark.parametrize("name", sorted(declared() | declared("extras")))
def test_every_declared_package_has_a_floor_and_a_cap_or_is_one_of_those_named_by_date(name: str):
    everything = [*PROJECT["project"]["dependencies"], *EXTRAS]
    [*lines] = [line for line in everything if normal(re.split("[<>=!~; ]", line)[0]) == name]
    for line in lines:
        assert ">=" in line
        assert "<" in line.replace("<=", "") or name == "fsspec"


def test_the_base_install_holds_nothing_of_the_extras_for_several_machines():
    for extra in ("bucket", "cluster"):
        lines = PROJECT["project"]["optional-dependencies"][extra]
        assert {normal(re.split(r"[<>=!~;\[ ]", line)[0]) for line in lines} & declared() == set()


def test_packages_of_the_trainer_and_the_tests_are_no_dependencies():
    assert declared("dev") & declared() == set()
    for name in declared("dev") & imported(trainer=True):
        try:
            version(name)
        except PackageNotFoundError:
            pytest.fail(f"{name} is in the dev group and not installed")
