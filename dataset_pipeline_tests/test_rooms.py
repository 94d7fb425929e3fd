"""The order of the rooms: who may import whom. ARCHITECTURE.md tells what each is for."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import dataset_pipeline

# Each room imports from those that stand before it, never from one after it.
ROOMS = (
    "base",
    "settings",
    "store",
    "images",
    "corrections",
    "characters",
    "tags",
    "repeated",
    "video",
    "stitching",
    "sources",
    "training",
    "training.exporters",
    "super_resolution",
    "regularization",
    "models",
    "graph",
    "assets",
    "orchestration",
    "reports",
    "review",
    "definitions",
    "cluster",
    "demo",
    "demo.training",
    "cli",
)
PURE = ROOMS[: ROOMS.index("models")]
HEAVY = ("torch", "torchvision", "imgutils", "open_clip", "pyiqa", "onnxruntime", "dagster")
ADAPTER = "dataset_pipeline.orchestration.dagster_internals"
PACKAGE = Path(dataset_pipeline.__file__).parent


@cache
def modules() -> dict[str, ast.Module]:
    """The package's modules by their dotted names."""
    parsed = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        parsed[name] = ast.parse(path.read_text(encoding="utf-8"))
    return parsed


def imported(module: str, at_load_only: bool = False) -> set[str]:
    """What a module imports, wherever in it the import stands, or only what it imports as it is loaded itself."""
    tree = modules()[module]
    lazily = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(node)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if at_load_only and node in lazily:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module} imports by a relative path"
            inner_modules = {f"{node.module}.{alias.name}" for alias in node.names} & modules().keys()
            found |= inner_modules or {node.module}
    return found


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def room_of(module: str) -> str:
    inside = module.removeprefix("dataset_pipeline").removeprefix(".")
    fitting = [room for room in ROOMS if inside == room or inside.startswith(f"{room}.")]
    return max(fitting, key=len, default="")


@cache
def arrows() -> dict[str, set[str]]:
    """For each module those of the package that it imports."""
    return {
        module: {it for it in imported(module) if it in modules() and it not in (module, "dataset_pipeline")}
        for module in modules()
    }


def test_every_module_lies_in_a_room_of_the_list():
    assert {module for module in modules() if not room_of(module)} == {"dataset_pipeline"}
    assert {room_of(module) for module in modules()} - {""} == set(ROOMS)


def test_no_arrow_leads_up():
    up = [
        f"{module} -> {target}"
        for module, targets in arrows().items()
        for target in sorted(targets)
        if ROOMS.index(room_of(target)) > ROOMS.index(room_of(module))
    ]
    assert up == []


def test_no_modules_import_one_another_in_a_circle():
    left = {module: set(targets) for module, targets in arrows().items()}
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_loads_neither_dagster_nor_a_model_library(room: str):
    loaded = {
        f"{module} -> {name}"
        for module in modules()
        if room_of(module).split(".")[0] == room
        for name in imported(module, at_load_only=True)
        if name.split(".")[0] in HEAVY
    }
    assert loaded == set()


def test_private_names_of_dagster_are_imported_in_one_module():
    private = {module for module in modules() for name in imported(module) if name.startswith("dagster._")}
    assert private == {ADAPTER}


def test_private_methods_and_attributes_of_dagster_are_used_in_that_module_too():
    """Every name with an underscore before it that other modules use of anything is one of the package's own."""
    users = {module for module in modules() if {"dagster", ADAPTER} & imported(module)} - {ADAPTER}
    nodes = {module: list(ast.walk(modules()[module])) for module in users}
    every = [node for tree in modules().values() for node in ast.walk(tree)]
    own = {node.name for node in every if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.id for node in every if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.attr for node in every if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    foreign = {
        f"{module}: {node.attr}"
        for module, found in nodes.items()
        for node in found
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if node.attr not in own
    }
    assert foreign == set()


def test_the_package_root_holds_definitions_alone():
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "definitions.py"]
    assert len((PACKAGE / "__init__.py").read_text(encoding="utf-8").splitlines()) == 1
