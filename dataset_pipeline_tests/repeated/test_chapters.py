from __future__ import annotations

import pytest

from dataset_pipeline.repeated.chapters import kind_of_title


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("OP", "opening"),
        ("Opening", "opening"),
        ("NCOP1", "opening"),
        ("Intro", "opening"),
        ("オープニング", "opening"),
        ("Chapter 02: Opening Theme", "opening"),
        ("ED", "ending"),
        ("Ending Credits", "ending"),
        ("エンディング", "ending"),
        ("Credits", "ending"),
        ("Preview", "preview"),
        ("Next Episode Preview", "preview"),
        ("次回予告", "preview"),
        ("Recap", "recap"),
        ("アイキャッチ", "eyecatch"),
        ("Part A", ""),
        ("Edward", ""),
        ("Operation Meteor", ""),
        ("Chapter 1", ""),
        ("", ""),
    ],
)
def test_titles_of_chapters(title: str, kind: str):
    assert kind_of_title(title) == kind
