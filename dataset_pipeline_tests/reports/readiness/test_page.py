"""The page is made by templates that escape whatever is put in."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import nodes

from dataset_pipeline.reports.readiness.page import TEMPLATES, environment, page
from dataset_pipeline_tests.reports.readiness.test_judging import SEEDED, Read

HOSTILE = "</style><script>alert('&\"')</script>`{{ 7 * 7 }}`"
NAMED_BY_OTHERS = ("kinds", "leaked")  # mappings whose keys come from tables


def hostile(value: Any, name: str = "") -> Any:
    """The same findings with each word in them replaced."""
    if isinstance(value, dict) and name in NAMED_BY_OTHERS:
        return {f"{HOSTILE}{key}": count for key, count in value.items()}
    if isinstance(value, dict):
        return {key: hostile(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [hostile(entry) for entry in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("seed", [entry[0] for entry in SEEDED], ids=[entry[1] for entry in SEEDED])
def test_no_word_of_the_findings_is_taken_for_markup(seed):
    text = page(hostile(seed()))
    assert "<script" not in text
    assert text.count("</style>") == 1
    assert "49" not in [word.strip() for word in Read(text).words]
    assert Read(text).open == []


def test_every_template_escapes_what_is_put_in():
    names = environment().list_templates()
    assert sorted(names) == sorted(path.name for path in TEMPLATES.iterdir())
    assert environment().autoescape is True
    for name in names:
        assert environment().get_template(name).environment.autoescape is True
        tree = environment().parse((TEMPLATES / name).read_text(encoding="utf-8"))
        assert not list(tree.find_all((nodes.ScopedEvalContextModifier, nodes.MarkSafe, nodes.MarkSafeIfAutoescape)))
        assert "safe" not in {filtered.name for filtered in tree.find_all(nodes.Filter)}


def test_a_value_that_the_template_misses_is_an_error_and_no_gap():
    with pytest.raises(KeyError):
        page({"set": {"shows": []}})
