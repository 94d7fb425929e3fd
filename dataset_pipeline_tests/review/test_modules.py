"""The page's modules fit together: one wrong import and the browser runs none of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dataset_pipeline.review.server import STATIC

STATEMENT = re.compile(
    r'^import\s+(?:\{(?P<names>[^}]*)\}|\*\s+as\s+(?P<space>\w+))\s+from\s+"\./(?P<module>[^"]+)";', re.M
)
DECLARED = re.compile(r"^export\s+(?:async\s+)?(?:function\*?|class)\s+(\w+)", re.M)
ASSIGNED = re.compile(r"^export\s+(?:const|let)\s+(.+?);?$", re.M)
LISTED = re.compile(r"^export\s+\{([^}]*)\}", re.M)


def exported(source: str) -> set[str]:
    """The names that a module exports, as the page's modules write it: one declaration or one list a statement."""
    names = set(DECLARED.findall(source))
    for assigned in ASSIGNED.findall(source):
        names |= set(re.findall(r"(?:^|, )(\w+) = ", assigned.split("=>")[0]))
    return names | {name for listed in LISTED.findall(source) for name in _listed(listed)}


def missing(sources: dict[str, str]) -> list[str]:
    """What the modules take from one another that is not there: `lists.js: unknown of api.js`."""
    exports = {name: exported(source) for name, source in sources.items()}
    absent = []
    for name, source in sources.items():
        for found in STATEMENT.finditer(source):
            space, module = found["space"], found["module"]
            taken = (
                re.findall(rf"(?<![\w./]){space}\.(\w+)", source)
                if space
                else [it.split()[0] for it in _listed(found["names"])]
            )
            absent += [f"{name}: {it} of {module}" for it in taken if it not in exports.get(module, ())]
    return absent


def _listed(text: str) -> list[str]:
    return [it.strip() for it in text.split(",") if it.strip()]


def test_every_name_that_a_module_of_the_page_imports_is_exported_where_it_is_imported_from() -> None:
    sources = {file.name: file.read_text("utf-8") for file in Path(STATIC).glob("*.js")}
    for name, source in sources.items():
        statements = re.findall(r"^import\b", source, re.M)
        assert len(STATEMENT.findall(source)) == len(statements), f"an import of {name} is of a form not read here"
    assert {"api.js", "lists.js", "main.js"} <= sources.keys()
    assert missing(sources) == []


@pytest.mark.parametrize(
    ("taken", "absent"),
    [
        ('import { a, b, c, F, G, l } from "./api.js";', []),
        ('import { a, d } from "./api.js";', ["page.js: d of api.js"]),
        ('import * as api from "./api.js";\napi.b(api.e);', ["page.js: e of api.js"]),
        ('import { a } from "./gone.js";', ["page.js: a of gone.js"]),
        ('import { inside } from "./api.js";', ["page.js: inside of api.js"]),
    ],
)
def test_a_name_that_nobody_exports_is_told(taken: str, absent: list[str]) -> None:
    api = (
        "export const a = 1, b = 2;\nexport const c = (x) => { const inside = x; return f(x, inside = 3); };\n"
        "export async function F() {}\nexport class G {}\nexport { l };\n"
    )
    assert missing({"api.js": api, "page.js": taken}) == absent
