"""Whether ids last: the same people, found again under other crops, settings and weights."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from dataset_pipeline.characters.appearances import appearances_of
from dataset_pipeline.characters.building import build_gallery
from dataset_pipeline.characters.identities import CROPS_LOGGED, EXEMPLARS_LOGGED, character_id
from dataset_pipeline.characters.vectors import unit
from dataset_pipeline.settings import CharacterGallerySettings, load_settings, resources_folder
from dataset_pipeline.store.identity_log import FOLDER, IdentityLog
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store, StoreError

DEFAULTS = load_settings(resources_folder() / "settings.toml").character_gallery
THRESHOLD = 0.178
FAN, FERN, STARK = 0, 1, 2


@dataclass
class Show:
    """Crops of people and the log that remembers them. Crops of one person lie within .1, of two .7 apart; two looks of
    one .21. A crop's id says who it is. root: of the store."""

    root: Path | str
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    weights: str = "weights"
    name: str = "show"
    asked: list[int] = field(default_factory=list)

    @property
    def log(self) -> IdentityLog:
        return Store(str(self.root)).identity_log

    def add(self, episode: str, people: dict[int, int], look: int = 0, release: int = 0) -> Show:
        """So many crops of each of `people`; another release of an episode has other crops of them."""
        for number, count in people.items():
            rng = np.random.default_rng([number, look, release, *episode.encode()])
            off = rng.normal(size=(count, 24))
            center = np.eye(24)[number] + 0.3 * np.eye(24)[12 + look]
            for i, vector in enumerate(center + 0.1 * off / np.linalg.norm(off, axis=1, keepdims=True)):
                still = f"{self.name}.{episode}/{10_000 * number + 1000 * release + 100 * look + i:08d}"
                self.vectors[f"{still}#person-{number}-{look}-9-9"] = vector.astype(np.float32)
        return self

    def drop(self, episode: str, every: int = 1) -> Show:
        gone = [crop for crop in sorted(self.vectors) if crop.startswith(f"{self.name}.{episode}/")][::every]
        self.vectors = {crop: vector for crop, vector in self.vectors.items() if crop not in gone}
        return self

    def differences(self, these: np.ndarray, those: np.ndarray) -> np.ndarray:
        self.asked.append(len(these))
        return np.linalg.norm(these[:, None] - those[None], axis=2) / 2

    def rows(self, **changes: object) -> list[dict]:
        settings = CharacterGallerySettings.model_validate({**DEFAULTS.model_dump(), **changes})
        box = {"kind": "person", "x_px": 0, "y_px": 0, "width_px": 9, "height_px": 9, "kept": True}
        crops = [{"image_id": crop, "still_id": crop.partition("#")[0], **box} for crop in self.vectors]
        appearances = appearances_of(crops, self.vectors)
        return build_gallery(self.name, appearances, self.differences, THRESHOLD, settings, self.log, self.weights)

    def who(self, **changes: object) -> dict[frozenset[tuple[int, int]], str]:
        """The id of each character, by the people and looks that it is made of."""
        return {frozenset(map(looks_of, row["exemplar_ids"])): row["character"] for row in self.rows(**changes)}

    def ids(self, **changes: object) -> dict[int, str]:
        """The id of each person; none of them may be two characters, no character two people."""
        found: dict[int, str] = {}
        for looks, character in self.who(**changes).items():
            ((number, _),) = looks
            assert number not in found
            found[number] = character
        return found

    def events(self) -> list[str]:
        return [f"{event.kind} {event.character}" for event in self.log.events(self.name)]


def looks_of(crop: str) -> tuple[int, int]:
    number, look = crop.split("#person-")[1].split("-")[:2]
    return int(number), int(look)


@pytest.fixture
def show(tmp_path: Path) -> Show:
    return Show(tmp_path / "store")


def files_of(root: Path | str) -> dict[str, bytes]:
    """What the log holds, by path inside the store."""
    paths = (Path(root) / FOLDER).rglob("*.json")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def give_files(files: dict[str, bytes], root: Path | str) -> None:
    for name, data in files.items():
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_an_earlier_episode_that_arrives_later_changes_no_id(show: Show):
    before = show.add("e2", {FAN: 9, FERN: 7}).add("e3", {FAN: 6, FERN: 8}).ids()
    assert show.add("e1", {FAN: 9, FERN: 9, STARK: 9}).ids().items() > before.items()


def test_a_later_episode_changes_no_id(show: Show):
    before = show.add("e1", {FAN: 9, FERN: 7}).ids()
    after = show.add("e2", {FAN: 90, STARK: 30}).ids()
    assert after.items() > before.items()
    assert show.events() == [f"minted {character}" for character in sorted(before.values())] + [
        f"minted {after[STARK]}"
    ]


def test_whoever_is_known_is_found_without_comparing_all_appearances_twice(show: Show):
    show.add("e1", {FAN: 9, FERN: 7}).rows()
    show.asked.clear()
    show.add("e2", {FAN: 9, STARK: 8}).rows()
    assert show.asked == [9 + 7 + 9 + 8, 9 + 9, 7, 8]  # everybody, and the bodies of each character for its outfits


def test_a_better_release_of_an_episode_whose_crops_are_all_others_changes_no_id(show: Show):
    before = show.add("e1", {FAN: 9, FERN: 7, STARK: 12}).ids()
    assert show.drop("e1").add("e1", {FAN: 14, FERN: 6, STARK: 12}, release=1).ids() == before
    for release in range(2, 6):
        assert show.drop("e1").add("e1", {FAN: 9, FERN: 7}, release=release).ids().items() < before.items()
    assert show.drop("e1").add("e1", {STARK: 9}, release=9).ids().items() < before.items()


def test_who_was_pruned_comes_back_under_the_same_id(show: Show):
    before = show.add("e1", {FAN: 9}).add("e2", {FERN: 9, STARK: 7}).ids()
    assert show.drop("e2").ids() == {FAN: before[FAN]}
    assert show.add("e7", {STARK: 7, 5: 8}).ids().items() > {FAN: before[FAN], STARK: before[STARK]}.items()
    assert show.add("e2", {FERN: 9}).ids().items() > before.items()


def test_a_limit_that_joins_two_and_parts_them_again_gives_both_ids_back(show: Show):
    show.add("e1", {FAN: 8}).rows()
    show.add("e2", {FAN: 30}, look=1).add("e2", {FERN: 9})
    apart = show.rows()
    ids = show.who()
    together = show.who(max_difference=0.3)
    older = ids[frozenset({(FAN, 0)})]
    assert together == {frozenset({(FAN, 0), (FAN, 1)}): older, frozenset({(FERN, 0)}): ids[frozenset({(FERN, 0)})]}
    assert show.rows() == apart
    assert len(show.events()) == 3


def test_a_split_leaves_the_id_with_the_larger_part_and_the_way_back_with_the_whole(show: Show):
    show.add("e1", {FAN: 8}).add("e1", {FAN: 20}, look=1)
    ((_, whole),) = show.who(max_difference=0.3).items()
    assert whole == character_id("show.e1/00000000#person-0-0-9-9")  # a crop of the smaller part
    parts = show.who()
    assert parts[frozenset({(FAN, 1)})] == whole
    other = parts[frozenset({(FAN, 0)})]
    assert other == character_id("show.e1/00000001#person-0-0-9-9")  # the first crop that gave nobody an id
    assert list(show.who(max_difference=0.3).values()) == [whole]
    assert show.who() == parts


@pytest.mark.parametrize(
    "changes", [{"min_crops": 9}, {"min_crops": 2}, {"exemplars": 1}, {"exemplars": 99}, {"max_difference": 0.06}]
)
def test_changed_settings_and_the_way_back_change_no_id(show: Show, changes: dict):
    show.add("e1", {FAN: 20, FERN: 7}).add("e2", {FAN: 9, FERN: 12, STARK: 6})
    before, ids = show.rows(), show.ids()
    for number, character in ids.items():
        found = [character for looks, character in show.who(**changes).items() if (number, 0) in looks]
        assert character in found or not found
    assert show.rows() == before


def test_a_changed_threshold_of_the_detector_changes_no_id(show: Show):
    before = show.add("e1", {FAN: 20, FERN: 15}).add("e2", {FAN: 9, STARK: 12}).ids()
    show.drop("e1", every=2).drop("e2", every=3)
    assert show.ids() == before
    assert show.add("e1", {FAN: 30, STARK: 9}, release=1).add("e2", {FERN: 20}, release=1).ids() == before


def test_a_stray_crop_takes_no_id_with_it(show: Show):
    """Fan's crops are gone but for one, which is taken for Fern's now."""
    before = show.add("e1", {FAN: 12}).ids()
    stray = next(iter(show.vectors))
    after = show.drop("e1").add("e2", {FERN: 12}).vectors
    after[stray] = after["show.e2/00010000#person-1-0-9-9"] * 1.001
    assert set(show.who().values()).isdisjoint(before.values())


def test_an_identity_that_became_one_with_another_is_nobody_elses(show: Show, tmp_path: Path):
    """Two writers minted one person; the younger id waits, and no other person who looks alike takes it up."""
    show.add("e1", {FAN: 12}).rows()
    other = Show(tmp_path / "other").add("e2", {FAN: 12})
    other.rows()
    give_files(files_of(other.root), show.root)
    ids = show.add("e2", {FAN: 12}).ids()
    assert list(ids.values()) == [character_id("show.e1/00000000#person-0-0-9-9")]
    show.add("e3", {FAN: 12}, look=1)  # stands for somebody alike
    assert set(show.who().values()).isdisjoint(other.ids().values())
    assert show.who()[frozenset({(FAN, 0)})] == ids[FAN]


def test_other_weights_find_the_identities_by_their_crops_and_later_by_exemplars_of_their_own(show: Show):
    before = show.add("e1", {FAN: 9, FERN: 7}).ids()
    show.weights = "better weights"
    show.vectors = {crop: np.roll(vector, 5) for crop, vector in show.vectors.items()}
    assert show.ids() == before
    assert sorted(show.events())[2:] == [f"seen {character}" for character in sorted(before.values())]
    show.rows()
    assert len(show.events()) == 4
    show.drop("e1").add("e1", {FAN: 8, FERN: 8}, release=1)
    show.vectors = {crop: np.roll(vector, 5) for crop, vector in show.vectors.items()}
    assert show.ids() == before


def test_with_the_log_the_same_gallery_comes_out_and_without_it_another_names_the_same_people(
    show: Show, tmp_path: Path
):
    show.add("e2", {FAN: 20, FERN: 7, STARK: 8}).rows()
    show.add("e1", {FAN: 9, FERN: 12}).rows()
    show.drop("e2", every=3)
    rows, files = show.rows(), files_of(show.root)
    assert show.rows() == rows
    assert files_of(show.root) == files

    copy = Show(tmp_path / "copy", show.vectors)
    give_files(files, copy.root)
    schema = SCHEMAS["character_gallery"]
    tables = [schema.table([row | {"made_from": ""} for row in made]) for made in (rows, copy.rows())]
    assert tables[0].equals(tables[1])

    anew = Show(tmp_path / "anew", show.vectors)
    renamed = {row["exemplar_ids"][0]: row["character"] for row in anew.rows()}
    assert set(renamed.values()) != {row["character"] for row in rows}
    of_the_log = [{**row, **dict.fromkeys(("character", "name"), renamed[row["exemplar_ids"][0]])} for row in rows]
    assert sorted(of_the_log, key=lambda row: row["character"]) == anew.rows()


def rename(root: Path | str, former: str, today: str) -> None:
    """Note that an episode goes by another key now, as a registration does that carries it over."""
    Store(str(root)).write(
        "episode_aliases", SCHEMAS["episode_aliases"].table([{"former": former, "episode": today}]), today
    )


def test_a_renamed_episode_takes_its_identities_along_to_another_show(show: Show):
    wrong = Show(show.root, name="show-s2").add("e1", {FERN: 9, STARK: 7})
    ids, others = wrong.ids(), show.add("e1", {FAN: 9, FERN: 7}).ids()
    rename(show.root, "show-s2.e1", "show.s2e1")
    show.weights = "other weights, so that none is found by likeness"
    show.vectors |= {crop.replace("show-s2.e1", "show.s2e1"): vector for crop, vector in wrong.vectors.items()}
    assert show.ids() == {FAN: others[FAN], FERN: ids[FERN], STARK: ids[STARK]}
    assert ids[FERN] != others[FERN]  # of the two that became one the older stays


def test_a_show_that_loses_an_episode_to_another_never_shares_an_identity_with_it(show: Show):
    before = show.add("e1", {FAN: 20}).add("e2", {FAN: 9, FERN: 9}).ids()
    rename(show.root, "show.e2", "other.e2")
    other = Show(show.root, name="other")
    other.vectors = {
        crop.replace("show.e2", "other.e2"): vector for crop, vector in show.vectors.items() if "show.e2" in crop
    }
    show.drop("e2")
    for _ in range(2):
        assert show.ids() == {FAN: before[FAN]}
        assert other.ids()[FERN] == before[FERN]
        assert other.ids()[FAN] not in before.values()


def test_a_former_key_that_another_episode_goes_by_leads_to_that_one(show: Show):
    before = show.add("e1", {FAN: 9}).ids()
    rename(show.root, "show.e1", "other.e1")
    Store(str(show.root)).write("video", SCHEMAS["video"].empty(), "show.e1")
    show.weights = "other weights, so that none is found by likeness"
    assert show.ids() == before


def minted_by(root: Path, episodes: Sequence[str], barrier: object = None) -> list[str]:
    show = Show(root)
    for episode in episodes:
        show.add(episode, {FAN: 9, FERN: 7})
    if barrier is not None:
        barrier.wait()  # type: ignore[attr-defined]
    show.rows()
    return sorted(show.ids().values())


def agreed(root: Path) -> None:
    """Whoever builds the gallery next finds one id for each person, and goes on finding it."""
    found = minted_by(root, ["e1", "e2", "e3"])
    assert len(found) == 2
    log = files_of(root)
    assert minted_by(root, ["e1", "e2", "e3"]) == found
    assert files_of(root) == log


def test_writers_of_one_process_that_mint_at_once_agree(tmp_path: Path):
    shares: list[list[str]] = [["e2", "e3"], ["e1", "e2"], ["e2", "e3"], ["e1", "e2", "e3"]]
    barrier = Barrier(len(shares))
    with ThreadPoolExecutor(len(shares)) as writers:
        list(writers.map(lambda share: minted_by(tmp_path, share, barrier), shares))
    agreed(tmp_path)


def test_writers_of_two_processes_that_mint_at_once_agree(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    other = context.Process(target=minted_by, args=(tmp_path, ["e2", "e3"], barrier))
    other.start()
    minted_by(tmp_path, ["e1", "e2"], barrier)
    other.join()
    assert other.exitcode == 0
    agreed(tmp_path)


def test_the_log_says_little_of_many_crops(show: Show):
    show.add("e1", {FAN: 400}).rows(exemplars=99)
    (event,) = show.log.events("show")
    assert len(event.crops) == CROPS_LOGGED
    assert event.exemplars.shape == (EXEMPLARS_LOGGED, 24)
    expected = unit(np.stack([show.vectors[crop] for crop in event.exemplar_ids]))
    np.testing.assert_allclose(event.exemplars, expected, atol=1e-6)


def test_neither_clean_nor_forget_touches_the_log(show: Show):
    show.add("e1", {FAN: 9, FERN: 7}).rows()
    before = files_of(show.root)
    store = Store(str(show.root))
    store.clean(grace_s=-1)
    for episode in ("show.e1", "show-show", "show"):
        store.forget(episode)
    assert files_of(show.root) == before


def test_the_log_of_a_store_at_a_url_works_alike():
    show = Show("memory://identities-of-a-test")
    before = show.add("e2", {FAN: 9, FERN: 7}).ids()
    assert show.add("e1", {FAN: 9, FERN: 7}).ids() == before
    assert show.log.shows() == ["show"]
    assert show.log.everyone() == set(before.values())


def paths_of(show: Show) -> Iterable[Path]:
    return sorted((Path(show.root) / FOLDER / "show-show").iterdir())


def test_a_damaged_event_is_named_and_other_files_are_passed_over(show: Show):
    show.add("e1", {FAN: 9, FERN: 7}).rows()
    first, _ = paths_of(show)
    (first.parent / "notes.txt").write_text("mine")
    (first.parent / f"{first.stem} (conflicted copy).json").write_text("half")
    before = show.rows()
    first.write_bytes(first.read_bytes()[:200])
    with pytest.raises(StoreError, match=f"{first.name}.* is damaged: bring it back from a backup"):
        show.rows()
    first.unlink()
    assert show.rows() == before


def test_an_event_of_a_later_version_is_refused_by_name(show: Show):
    from dataset_pipeline.store import identity_log

    show.add("e1", {FAN: 9}).rows()
    (path,) = paths_of(show)
    data = path.read_bytes().replace(b'"minted"', b'"parted"')
    later = path.with_name(path.name.rpartition("-")[0] + f"-{identity_log._hash(data)}.json")
    later.write_bytes(data)
    with pytest.raises(StoreError, match=f"{later.name}.*'parted', which a later version wrote"):
        show.rows()
