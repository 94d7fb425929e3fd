"""What all who use a store agree on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from dataset_pipeline.store.store import Store, StoreError
from dataset_pipeline_tests.store.looks import of_tables

NAME = "models.lock"


def test_what_was_said_first_stands_until_a_person_changes_it(store: Store, disk) -> None:
    assert store.agree(NAME, {"tagger": "abc"}) == {"tagger": "abc"}
    assert Store(store.root).agree(NAME, {"tagger": "other"}) == {"tagger": "abc"}
    assert of_tables(disk) == [f"_{NAME}.json"]
    store.replace_agreed(NAME, {"tagger": "other"})
    assert store.agree(NAME, {"tagger": "abc"}) == {"tagger": "other"}
    assert store.clean(0).size_bytes == 0
    assert store.agree(NAME, {}) == {"tagger": "other"}


def test_of_many_who_speak_at_once_one_is_heard_by_all(tmp_path) -> None:
    def say(number: int) -> int:
        return Store(str(tmp_path)).agree(NAME, {"number": number})["number"]

    with ThreadPoolExecutor(8) as speakers:
        heard = set(speakers.map(say, range(24)))
    assert len(heard) == 1


@pytest.mark.parametrize("content", [b"{", b"[]"])
def test_a_damaged_agreement_is_named(store: Store, disk, content: bytes) -> None:
    disk.put(f"_{NAME}.json", content)
    with pytest.raises(StoreError, match=r"_models\.lock\.json is damaged .*: remove it"):
        store.agree(NAME, {})


@pytest.mark.parametrize("name", ["", "Models", "a/b", "../x"])
def test_names_that_nothing_is_agreed_on_under_are_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="no name for what is agreed on"):
        store.agree(name, {})
