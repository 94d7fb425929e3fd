"""What is on its way to a store where each request takes a round trip."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from dataset_pipeline.store.transit import ByRequests, Listings


class Away:
    """Files that are far: a put waits for `may_go`, and fails for what is bad."""

    far = True

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.there: list[str] = []

    def keep(self, path: str, data: bytes, closely: bool = False) -> None:
        assert self.may_go.wait(5)
        if data == b"bad":
            raise OSError(f"{path} is refused")
        self.there.append(path)

    def names(self, folder: str) -> list[str]:
        return ["1.png", "2.png"]


@pytest.fixture
def files() -> Any:
    return cast(Any, Away())


def test_whoever_settles_waits_also_for_what_another_waits_for(files: Any) -> None:
    transit = ByRequests(files)
    transit.keep("crops/a/1.png", b"pixels")
    seen: list[list[str]] = []

    def settle(folder: str) -> None:
        transit.settle(folder)
        seen.append(list(files.there))

    waiting = [threading.Thread(target=settle, args=[folder]) for folder in ("crops/a", "crops/a", "quality_scores/a")]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join(0.05)
    assert seen == []
    files.may_go.set()
    for thread in waiting:
        thread.join(5)
    assert seen == [["crops/a/1.png"]] * 3


def test_a_file_that_could_not_be_kept_is_told_to_who_settles_its_folder_and_not_read_from_memory(
    files: Any,
) -> None:
    files.may_go.set()
    transit = ByRequests(files)
    transit.keep("crops/a/1.png", b"bad")
    transit.keep("crops/b/1.png", b"pixels")
    transit.settle("crops/b")
    with pytest.raises(OSError, match=r"crops/a/1\.png is refused"):
        transit.settle("crops/a")
    assert transit.held("crops/a/1.png") is None
    transit.keep("crops/a/1.png", b"pixels")
    transit.settle("crops/a")
    assert sorted(files.there) == ["crops/a/1.png", "crops/b/1.png"]


def test_a_writer_stops_at_the_first_of_its_files_that_could_not_be_kept(files: Any) -> None:
    files.may_go.set()
    transit = ByRequests(files)
    transit.keep("crops/a/1.png", b"bad")
    transit._pool.shutdown()  # waits for it
    with pytest.raises(OSError, match="is refused"):
        transit.keep("crops/a/2.png", b"pixels")


def test_a_listing_stays_as_it_is_while_another_puts_files_there(files: Any) -> None:
    listings = Listings(files)
    before = listings("crops/a")
    listings.add("crops/a/3.png")
    assert sorted(before) == ["1.png", "2.png"]
    assert sorted(listings("crops/a")) == ["1.png", "2.png", "3.png"]
