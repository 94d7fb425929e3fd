"""ARCHITECTURE.md names what is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import dataset_pipeline
from dataset_pipeline_tests.test_rooms import ROOMS

PACKAGE = Path(dataset_pipeline.__file__).parent
REPOSITORY = PACKAGE.parent
TESTS = Path(__file__).parent
PAGE = (PACKAGE / "ARCHITECTURE.md").read_text(encoding="utf-8")
RULES = re.findall(r"^\| (.+?) \| `([\w/]+\.py)` \| `(\w+)` \|$", PAGE, re.MULTILINE)


@cache
def defined_in(module: str) -> set[str]:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    return {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


@pytest.mark.parametrize(("module", "function"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_a_rule_stands_where_the_page_says(module: str, function: str):
    assert function in defined_in(module)


def test_each_row_of_the_table_of_rules_names_a_module_and_a_function():
    table = PAGE.partition("## Where is the rule for …")[2].partition("\n\n## ")[0]
    assert len(RULES) == sum(line.startswith("| ") for line in table.splitlines()) - 2


def test_every_file_that_the_page_names_is_there():
    named = set(re.findall(r"`([\w./]+/[\w.]+\.(?:py|toml|md|yaml))`", PAGE))
    assert len(named) > 20
    assert {name for name in named if not ((PACKAGE / name).exists() or (REPOSITORY / name).exists())} == set()


def test_the_page_lists_the_rooms_in_their_order():
    table = PAGE.partition("## The rooms")[2].partition("\n\n## ")[0]
    listed = re.findall(r"^\| `([\w.]+?)(?:/|\.py)` \|", table, re.MULTILINE)
    assert listed == [room for room in ROOMS if "." not in room]


def test_every_name_that_a_recipe_gives_stands_in_the_code():
    recipes = PAGE.partition("## Recipe: an asset")[2].partition("## Checks")[0]
    prose = re.sub(r"```.*?```", "", recipes, flags=re.DOTALL)
    spans = [span for span in re.findall(r"`([^`]+)`", prose) if "/" not in span and ".py" not in span]
    named = {word for span in spans for word in re.findall(r"[A-Za-z_]\w{4,}", span)}
    paths = {*PACKAGE.rglob("*.py"), *TESTS.rglob("*.py")} - {Path(__file__)}
    texts = [path.read_text(encoding="utf-8") for path in paths]
    known = set(re.findall(r"\w+", " ".join(texts))) | {"resources", "models", "settings"}
    assert len(named) > 40
    assert named - known == {"dark_stills"}
