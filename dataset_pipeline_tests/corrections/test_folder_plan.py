"""What a person means by how a folder of characters lies after they had it."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import pytest

from dataset_pipeline.corrections.events import event_of, with_ids
from dataset_pipeline.corrections.folder_manifest import BadManifest, Folder, Manifest, Written, manifest_of, to_json
from dataset_pipeline.corrections.folder_places import Lying
from dataset_pipeline.corrections.folder_plan import NotTheFolder, Plan, plan, settled
from dataset_pipeline.corrections.folders import NOBODY, Current, Person, folders_for

FERN, STARK, GROUP = "c-1", "c-2", "c-3"
WHERE = {"Fern": FERN, "Stark": STARK, "c-3": GROUP, NOBODY: ""}
IN_EACH = 4
ZEROS = "0" * 64


def image(number: int, show: str = "show") -> str:
    return f"{show}.e1/{number:08d}#person-0-0-100-100"


class Project:
    """A folder of four characters of four pictures each, and the project it was written from."""

    def __init__(self, show: str = "show") -> None:
        names = {FERN: "Fern", STARK: "Stark", GROUP: ""}
        self.current = Current(names=dict(names), shows=dict.fromkeys(names, show))
        folders, files = [], []
        for place, character in WHERE.items():
            folders.append(Folder(place, show, character, names.get(character, "")))
            for _ in range(IN_EACH):
                number = len(files)
                self.current.who[image(number, show)] = character
                files.append(Written(f"{place}/{number}.webp", f"{number:064x}", (image(number, show),)))
        self.manifest = Manifest(folders, files)
        self.lies = {it.file: it.sha256 for it in files}
        self.known: dict[str, str] = {}  # what files show that were not written, by their content

    def move(self, file: str, to: str) -> str:
        target = f"{to}/{PurePosixPath(file).name}" if to else PurePosixPath(file).name
        self.lies[target] = self.lies.pop(file)
        return target

    def move_all(self, folder: str, to: str) -> None:
        for file in [it for it in self.lies if it.startswith(f"{folder}/")]:
            self.move(file, to)

    def plan(self) -> Plan:
        lying = [Lying(file, sha256, self.known.get(sha256, "")) for file, sha256 in self.lies.items()]
        found = plan(self.manifest, lying, self.current, "now")
        for it in found.said:
            event_of(it)  # each is one that can be said
        return found

    def said(self) -> list[dict[str, Any]]:
        return self.plan().said

    def follow(self) -> Plan:
        """What was found is said, and the project follows."""
        found = self.plan()
        names, heads = self.current.names, dict(self.current.heads)
        for it in found.said:
            if it["do"] == "rename":
                names[it["character"]] = it["name"]
            elif it["do"] == "merge":
                heads[it["other"]] = it["character"]
            elif it["do"] == "set_character":
                names.setdefault(it["character"], it.get("name", ""))
                self.current.who |= dict.fromkeys(it["images"], it["character"])
            elif it["do"] == "not_character":
                self.current.who |= dict.fromkeys(it["images"], "")
                self.current.banned = {**self.current.banned, **{key: {it["character"]} for key in it["images"]}}
            elif it["do"] == "reject":
                self.current.rejected = {*self.current.rejected, *it["images"]}
        self.current.heads = heads
        self.current.who = {it: self.current.head(who) for it, who in self.current.who.items()}
        ids = [f"e-{number:012x}" for number in range(len(found.said))]
        self.current.in_force = {*self.current.in_force, *ids}
        self.manifest = settled(found, ids)
        return found


@pytest.fixture
def project() -> Project:
    return Project()


def nothing(found: Plan) -> bool:
    return not (found.said or found.conflicts or found.notices or found.foreign)


def test_what_lies_as_it_was_written_says_nothing_whatever_changed_in_the_project(project: Project):
    assert nothing(project.plan())
    project.current.names[FERN] = "Frieren"
    project.current.who[image(0)] = STARK
    project.current.heads = {GROUP: FERN}
    assert nothing(project.plan())


def test_a_renamed_folder_renames_its_character(project: Project):
    project.move_all("Fern", "Fern, the mage")
    [said] = project.said()
    assert said == {
        "do": "rename",
        "character": FERN,
        "name": "Fern, the mage",
        "shown_by": [image(number) for number in range(IN_EACH)],
    }


def test_a_group_is_named_by_renaming_its_folder_and_loses_the_name_by_renaming_it_to_its_id(project: Project):
    project.move_all("c-3", "Frieren")
    assert [(it["do"], it["character"], it["name"]) for it in project.follow().said] == [("rename", GROUP, "Frieren")]
    project.move_all("Frieren", "c-3")
    assert [(it["do"], it["name"]) for it in project.said()] == [("rename", "")]


def test_moved_pictures_show_whom_they_lie_with(project: Project):
    project.move("Fern/0.webp", "Stark")
    project.move(f"{NOBODY}/12.webp", "Stark")
    assert project.said() == [{"do": "set_character", "images": [image(0), image(12)], "character": STARK}]


@pytest.mark.parametrize("place", [NOBODY, "noise", "noise 2"])
def test_what_is_moved_out_to_nobody_does_not_show_that_character(project: Project, place: str):
    project.move("Fern/1.webp", place)
    assert project.said() == [{"do": "not_character", "images": [image(1)], "character": FERN}]


def test_a_new_folder_is_somebody_new_split_from_whom_all_its_pictures_were(project: Project):
    for number in (0, 1):
        project.move(f"Fern/{number}.webp", "Frieren")
    [said] = project.said()
    assert said["character"].startswith("c-")
    assert said["character"] not in WHERE.values()
    assert said["name"] == "Frieren"
    assert said["images"] == [image(0), image(1)]
    assert said["split_from"] == FERN
    project.move("Stark/4.webp", "Frieren")
    assert "split_from" not in project.said()[0]


def test_a_new_folder_of_a_name_that_somebody_bears_by_now_is_that_character(project: Project):
    project.current.names |= {"c-9": "Frieren"}
    project.move("Fern/0.webp", "Frieren")
    assert project.said() == [{"do": "set_character", "images": [image(0)], "character": "c-9"}]


def test_two_folders_of_which_all_lies_in_one_are_one_character(project: Project):
    project.move_all("c-3", "Fern")
    [said] = project.said()
    assert (said["do"], said["character"], said["other"]) == ("merge", FERN, GROUP)


def test_two_folders_put_into_a_new_one_are_one_character_of_that_name(project: Project):
    project.move_all("c-3", "Frieren")
    project.move_all("Stark", "Frieren")
    found = [(it["do"], it["character"], it.get("other"), it.get("name")) for it in project.said()]
    assert sorted(found, key=str) == [
        ("merge", STARK, GROUP, None),
        ("rename", STARK, None, "Frieren"),
    ]


def exchanged(project: Project, *cycle: str) -> None:
    """Each folder gets the name of the next, the last that of the first."""
    project.move_all(cycle[-1], "x")
    for old, new in reversed(list(pairwise(cycle))):
        project.move_all(old, new)
    project.move_all("x", cycle[0])


def names_said(found: Plan) -> dict[str, str]:
    assert {it["do"] for it in found.said} == {"rename"}
    assert found.conflicts == found.notices == []
    return {it["character"]: it["name"] for it in found.said}


def test_two_folders_that_exchange_their_names_are_two_renamed_characters(project: Project):
    exchanged(project, "Fern", "Stark")
    assert names_said(project.follow()) == {FERN: "Stark", STARK: "Fern"}
    assert [it.character for it in project.manifest.folders if it.path in ("Fern", "Stark")] == [STARK, FERN]
    exchanged(project, "Fern", "Stark")
    assert names_said(project.follow()) == {FERN: "Fern", STARK: "Stark"}


def test_three_folders_that_exchange_their_names_are_renamed_and_an_id_is_no_name(project: Project):
    exchanged(project, "Fern", "Stark", "c-3")
    assert names_said(project.follow()) == {FERN: "Stark", STARK: "", GROUP: "Fern"}
    assert {it.character: it.path for it in project.manifest.folders if it.character} == {
        FERN: "Stark", STARK: "c-3", GROUP: "Fern",
    }  # fmt: skip


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_chain_of_renamed_folders_merges_nobody(project: Project, is_gone: bool):
    deleted = [it for it in project.lies if it.startswith("Stark/")] if is_gone else []
    for it in deleted:
        del project.lies[it]
    project.move_all("Stark", "Himmel")
    project.move_all("Fern", "Stark")
    project.move_all("c-3", "Fern")
    found = project.follow()
    named = {it["character"]: it["name"] for it in found.said if it["do"] == "rename"}
    assert named == {FERN: "Stark", GROUP: "Fern"} | ({} if is_gone else {STARK: "Himmel"})
    rejected = [it["images"] for it in found.said if it["do"] == "reject"]
    assert len(rejected) == len(deleted)
    assert len(found.said) == len(named) + len(rejected)
    assert nothing(project.plan())


def test_a_folder_put_into_one_that_was_renamed_to_there_is_part_of_who_lies_there_by_then(project: Project):
    exchanged(project, "Fern", "Stark")
    project.move_all("c-3", "Fern")
    said = project.said()
    assert [(it["character"], it["other"]) for it in said if it["do"] == "merge"] == [(STARK, GROUP)]
    assert len(said) == 3


def test_an_exchange_of_which_one_half_is_in_conflict_stays_as_written_as_a_whole(project: Project):
    exchanged(project, "Fern", "Stark")
    project.current.names[FERN] = "Frieren"
    found = project.follow()
    assert [it["character"] for it in found.said] == [STARK]
    assert found.conflicts == ["Stark: since the export Fern was renamed to Frieren"]
    assert {it.path: it.character for it in project.manifest.folders} == WHERE
    again = project.plan()
    assert (again.said, again.conflicts) == ([], found.conflicts)


def test_one_last_picture_of_a_folder_that_was_deleted_makes_no_merge(project: Project):
    for number in (8, 9, 10):
        del project.lies[f"c-3/{number}.webp"]
    project.move("c-3/11.webp", "Fern")
    assert [it["do"] for it in project.said()] == ["set_character", "reject", "reject", "reject"]


def test_a_deleted_picture_is_rejected_and_taken_back_when_it_lies_there_again(project: Project):
    sha256 = project.lies.pop("Fern/2.webp")
    assert project.follow().said == [{"do": "reject", "images": [image(2)]}]
    assert nothing(project.plan())
    project.lies["Fern/2.webp"] = sha256
    assert project.follow().said == [{"do": "undo", "event": "e-000000000000"}]


def test_a_deleted_picture_takes_the_smaller_crops_of_that_person_with_it(project: Project):
    head = "show.e1/00000002#head-0-0-50-50"
    files = [
        replace(it, images=(*it.images, head)) if it.file == "Fern/2.webp" else it for it in project.manifest.files
    ]
    project.manifest = replace(project.manifest, files=files)
    project.current.who[head] = FERN
    del project.lies["Fern/2.webp"]
    assert project.said() == [{"do": "reject", "images": [image(2), head]}]


CHANGES = {
    "rename": lambda it: it.move_all("Fern", "Fern, the mage"),
    "merge": lambda it: it.move_all("c-3", "Stark"),
    "move": lambda it: it.move("Fern/0.webp", "Stark"),
    "move out": lambda it: it.move("Fern/1.webp", NOBODY),
    "split": lambda it: it.move("Stark/5.webp", "Somebody"),
    "delete": lambda it: it.lies.pop("Fern/3.webp"),
    "rename with a move into it": lambda it: (it.move_all("Fern", "X"), it.move("Stark/4.webp", "X")),
    "exchange of two names": lambda it: exchanged(it, "Fern", "Stark"),
    "exchange of three names": lambda it: exchanged(it, "Fern", "Stark", "c-3"),
    "all of a show into one": lambda it: (it.move_all("c-3", "All"), it.move_all("Fern", "All")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_said_once_is_not_said_again(project: Project, change: Any):
    change(project)
    written = project.manifest
    assert project.follow().said
    assert nothing(project.plan())
    project.manifest = written  # killed before the manifest was written
    again = project.plan()
    assert not again.said
    assert not again.conflicts


def test_what_was_moved_and_moved_back_is_said_both_times(project: Project):
    there = project.move("Fern/0.webp", "Stark")
    assert [it["character"] for it in project.follow().said] == [STARK]
    project.move(there, "Fern")
    assert [it["character"] for it in project.follow().said] == [FERN]


CONFLICTS = {
    "given to somebody else": (
        lambda it: (it.move("Fern/0.webp", "Stark"), it.current.who.update({image(0): GROUP})),
        "Stark/0.webp: since the export it was given to c-3",
    ),
    "deleted and given to somebody else": (
        lambda it: (it.lies.pop("Fern/0.webp"), it.current.who.update({image(0): STARK})),
        "Fern/0.webp: was deleted, and since the export it was given to Stark",
    ),
    "deleted and kept": (
        lambda it: (it.lies.pop("Fern/0.webp"), setattr(it.current, "kept", {image(0)})),
        "Fern/0.webp: was deleted, and since the export a person kept it",
    ),
    "renamed twice": (
        lambda it: (it.move_all("Fern", "X"), it.current.names.update({FERN: "Y"})),
        "X: since the export Fern was renamed to Y",
    ),
    "merged elsewhere": (
        lambda it: (it.move_all("c-3", "Fern"), setattr(it.current, "heads", {GROUP: STARK})),
        "Fern: Stark is another character by now, and is not merged",
    ),
    "gone": (
        lambda it: (it.move("Fern/0.webp", "Stark"), it.current.who.pop(image(0))),
        "Stark/0.webp: the picture is not there any more",
    ),
}


@pytest.mark.parametrize(("change", "why"), CONFLICTS.values(), ids=CONFLICTS)
def test_what_the_project_was_told_otherwise_meanwhile_is_listed_and_not_said(project: Project, change: Any, why: str):
    change(project)
    found = project.plan()
    assert found.conflicts == [why]
    assert found.said == []
    project.manifest = settled(found, [])
    assert project.plan().conflicts == [why]  # as long as it lies so


def test_a_change_that_agrees_with_the_project_is_no_conflict(project: Project):
    project.move("Fern/0.webp", "Stark")
    project.current.who[image(0)] = STARK
    project.move_all("c-3", "X")
    project.current.names[GROUP] = "X"
    del project.lies["Fern/1.webp"]
    project.current.rejected = {image(1)}
    assert nothing(project.plan())


def test_files_of_their_own_are_known_by_their_pixels_or_named_and_never_lost(project: Project):
    project.current.who[image(99)] = FERN
    project.lies |= {"Stark/mine.png": "a" * 64, "Stark/unknown.png": "b" * 64, "Fern/again.png": "c" * 64}
    project.known = {"a" * 64: image(99), "c" * 64: image(0)}
    found = project.plan()
    assert found.said == [{"do": "set_character", "images": [image(99)], "character": STARK}]
    assert found.foreign == ["Stark/unknown.png"]
    assert found.notices == ["Fern/again.png: is a second copy of a picture that lies elsewhere, and says nothing"]
    project.lies["Fresh/mine.png"] = project.lies.pop("Stark/mine.png")
    [said] = project.follow().said
    assert (said["name"], said["images"]) == ("Fresh", [image(99)])
    assert project.said() == []


def test_an_edited_picture_is_known_by_its_name_and_one_encoded_anew_by_its_pixels(project: Project):
    project.lies["Fern/0.webp"] = "a" * 64
    found = project.plan()
    assert (found.said, len(found.notices)) == ([], 1)
    project.known = {"a" * 64: image(0)}
    project.lies["Stark/0.png"] = project.lies.pop("Fern/0.webp")
    assert [it["character"] for it in project.said()] == [STARK]


def test_a_picture_in_two_folders_says_nothing_and_is_not_taken_for_deleted(project: Project):
    project.lies["Stark/0.webp"] = project.lies["Fern/0.webp"]
    found = project.plan()
    assert (found.said, found.conflicts, len(found.notices)) == ([], [], 1)
    project.lies[f"{NOBODY}/0.webp"] = project.lies.pop("Fern/0.webp")
    found = project.plan()
    assert found.said == []
    assert found.conflicts == [
        f"Stark/0.webp, {NOBODY}/0.webp: the same picture in several folders: leave it in one of them"
    ]


def test_folders_below_those_of_characters_and_loose_files_say_nothing(project: Project):
    project.move("Fern/0.webp", "Fern/best")
    project.move("Fern/1.webp", "")
    found = project.plan()
    assert found.said == []
    assert found.notices == ["1.webp: lies in no folder of a character, and says nothing"]


def test_the_whole_tree_carried_one_folder_down_says_nothing(project: Project):
    for folder in WHERE:
        project.move_all(folder, f"mine/{folder}")
    assert nothing(project.plan())


def test_a_name_that_macos_decomposed_is_no_other_name(project: Project):
    composed, decomposed = "Andr\u00e9", "Andre\u0301"
    project.current.names[FERN] = decomposed  # as somebody typed it
    project.move_all("Fern", composed)
    folders = [
        replace(it, path=decomposed, name=decomposed) if it.path == "Fern" else it for it in project.manifest.folders
    ]
    files = [replace(it, file=it.file.replace("Fern", decomposed)) for it in project.manifest.files]
    project.manifest = manifest_of(to_json(Manifest(folders, files)))
    assert nothing(project.plan())
    project.move_all(composed, decomposed)
    assert nothing(project.plan())
    project.manifest = manifest_of(to_json(project.manifest))
    project.move("Stark/4.webp", decomposed)
    assert [(it["do"], it["character"]) for it in project.said()] == [("set_character", FERN)]


def test_a_new_folder_bears_the_name_of_somebody_however_its_letters_are_composed(project: Project):
    project.current.names["c-9"] = "Andre\u0301"
    project.move("Fern/0.webp", "Andr\u00e9")
    assert [it["character"] for it in project.said()] == ["c-9"]
    project.current.names[FERN] = project.current.names["c-9"]
    project.move_all("Fern", "Andr\u00e9")
    assert [it["do"] for it in project.said()] == []


def calls_of_a_plan(folders: int) -> int:
    """How often a function is called to plan for as many folders, each of which was renamed and got a picture more."""
    current, written, lying = Current(), [], []
    for number in range(folders):
        character = f"c-{number:08d}"
        current.names[character] = ""
        for one in range(3):
            shown = image(3 * number + one)
            current.who[shown] = character
            written.append(Written(f"{character}/{one}-{number}.webp", f"{3 * number + one:064x}", (shown,)))
            lying.append(Lying(f"X{number}/{one}.webp", written[-1].sha256))
        current.who[image(number, "other")] = ""
        lying.append(Lying(f"X{number}/more.png", f"{10**9 + number:064x}", image(number, "other")))
    manifest = Manifest([Folder(it, "show", it) for it in current.names], written)
    counted = Counter()
    sys.setprofile(lambda _, event, __: counted.update([event]))
    try:
        found = plan(manifest, lying, current, "now")
    finally:
        sys.setprofile(None)
    assert len(found.said) == 2 * folders
    return counted["call"]


def test_a_plan_for_four_times_as_many_folders_takes_four_times_as_long():
    assert calls_of_a_plan(200) < 5 * calls_of_a_plan(50)


def test_an_emptied_folder_is_no_order_to_reject_everything(project: Project):
    project.lies.clear()
    with pytest.raises(NotTheFolder, match="none of the pictures"):
        project.plan()


def test_characters_of_several_shows_lie_apart_and_may_be_one_by_hand():
    one, other = Project("a"), Project("b")
    folders = [replace(it, path=f"{it.show}/{it.path}") for it in one.manifest.folders + other.manifest.folders]
    folders = [replace(it, character=it.character and f"{it.character}{it.show}") for it in folders]
    files = [
        replace(it, file=f"{it.images[0][0]}/{it.file}", sha256=f"{number:064x}")
        for number, it in enumerate(one.manifest.files + other.manifest.files)
    ]
    one.manifest, one.lies = Manifest(folders, files), {it.file: it.sha256 for it in files}
    one.current.who = {it.images[0]: "" for it in files}
    for it in folders:
        one.current.names[it.character], one.current.shows[it.character] = it.name, it.show
        one.current.who |= {file.images[0]: it.character for file in files if file.file.startswith(f"{it.path}/")}
    assert nothing(one.plan())
    one.move("a/Fern/0.webp", "b/Stark")
    one.move("a/Fern/1.webp", "b/Frieren")
    found = one.plan()
    assert found.conflicts == []
    told = [(it["character"] if "name" not in it else it["name"], it["images"]) for it in found.said]
    assert told == [("Frieren", [image(1, "a")]), ("c-2b", [image(0, "a")])]


NASTY = [
    "a/b",
    "..",
    "CON",
    "con",
    "Fern",
    "fern",
    "Fern.",
    "x" * 300,
    "長" * 300,
    "🧙‍♀️",
    "פֶרְן",
    "a|b+c",
    "...",
    NOBODY,
    "\u202egpj",
]


def test_every_typed_name_gives_a_folder_of_its_own_that_every_system_takes():
    from dataset_pipeline.base.paths import fault_of_path

    names = {f"c-{number}": name for number, name in enumerate([*NASTY, "Fern"])}
    people = [Person((image(number),), "show", character) for number, character in enumerate([*names, "", "c-77"])]
    found = folders_for(people, Current(names=names))
    paths = [it.path for it in found.values()]
    assert len({path.casefold() for path in paths}) == len(people)
    for it in found.values():
        assert not fault_of_path(it.path)
        assert len(it.path.encode()) <= 200
        assert it.name == names.get(it.character, "")  # as typed
    assert found["show", ""].path == NOBODY
    assert found["show", "c-77"].path == "c-77"


def test_the_manifest_comes_back_as_it_was_written(project: Project):
    [event] = with_ids([event_of({"do": "reject", "images": [image(0)]})], "now")
    files = [replace(project.manifest.files[0], rejected=event.id), *project.manifest.files[1:]]
    written = Manifest([*project.manifest.folders, Folder("פֶרְן", "show", "c-7", "a/b")], files)
    assert manifest_of(to_json(written)) == written
    assert manifest_of(to_json(Manifest())) == Manifest()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "no JSON"),
        ("[]", "valid dictionary"),
        ('{"format": 2, "folders": [], "files": []}', "format"),
        ('{"format": 1, "folders": [{"path": "../x", "show": "s"}], "files": []}', "does not lie below"),
        ('{"format": 1, "folders": [{"path": "/x", "show": "s"}], "files": []}', "does not lie below"),
        ('{"format": 1, "folders": [{"path": "x", "show": "s", "character": "Fern"}], "files": []}', "no id"),
        (
            f'{{"format": 1, "folders": [], "files": [{{"file": "x/y", "sha256": "{ZEROS}", "images": ["s.e/1"]}}]}}',
            "no folder that is listed",
        ),
        (
            f'{{"format": 1, "folders": [], "files": [{{"file": "x/y", "sha256": "{ZEROS}", "images": ["../1"]}}]}}',
            "no image id",
        ),
        *(
            (
                f'{{"format": 1, "folders": [{{"path": "x", "show": "s"}}], "files": [{{"file": "x/y", '
                f'"sha256": "{ZEROS}", "images": ["s.e/1#head-0-0-9-9"], "rejected": "{it}"}}]}}',
                "rejected",
            )
            for it in ("7", "e-7", "e-0123456789abc", "0" * 14)
        ),
    ],
)  # fmt: skip
def test_a_manifest_that_somebody_wrote_is_told_in_words(text: str, why: str):
    with pytest.raises(BadManifest, match=why):
        manifest_of(text)
