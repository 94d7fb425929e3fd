"""What a person means by how a folder of characters lies after they had it.

Three things are compared: what was written (the manifest), what lies there, and who is who in the project by then. What
a person left as it was says nothing, whatever has changed in the project since. What they changed is said, unless the
project was told something else meanwhile: that is a conflict, which is listed and left to them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from dataset_pipeline.corrections.events import Picture, new_character
from dataset_pipeline.corrections.folder_manifest import Folder, Manifest, Written, composed
from dataset_pipeline.corrections.folder_places import Lying, find_places, grouped
from dataset_pipeline.corrections.folder_renames import WHOLE_SHARE, renamed, stayed
from dataset_pipeline.corrections.folders import NOBODY, Current
from dataset_pipeline.settings.reference_folders import is_noise

SHOWN_BY = 5  # pictures by which a renamed or merged character is found should its id be lost


@dataclass
class Plan:
    """What a person means by how the folder lies. said: events as plain JSON, pictures by their ids alone. conflicts:
    what is not said, as the project was told otherwise since. notices: what of the folder says nothing, and why.
    foreign: files with pictures that the project does not know. base: the manifest that holds once this was said.
    rejected: by number of a file in `base`, that of the event in `said` which rejects it."""

    said: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    base: Manifest = field(default_factory=Manifest)
    rejected: dict[int, int] = field(default_factory=dict)


class NotTheFolder(ValueError):
    """Nothing of what was written lies there."""


def plan(manifest: Manifest, lying: Sequence[Lying], current: Current, when: str) -> Plan:
    """What is to be said. when: counts for the ids of new characters. Raises NotTheFolder."""
    return _Planner(manifest, current, when).planned(lying)


def settled(found: Plan, ids: Sequence[str]) -> Manifest:
    """`Plan.base` once all of `said` was said under these ids."""
    files = list(found.base.files)
    for file, event in found.rejected.items():
        files[file] = replace(files[file], rejected=ids[event])
    return replace(found.base, files=files)


class _Planner:
    def __init__(self, manifest: Manifest, current: Current, when: str) -> None:
        self.manifest, self.current, self.when = manifest, current, when
        self.out = Plan()
        self.folders = {it.path: it for it in manifest.folders}
        self.members = grouped(manifest.files, self._written_in)
        self.shows = {it.path.partition("/")[0] for it in manifest.folders if "/" in it.path}
        self.bearers = grouped(current.names, lambda it: composed(current.names[it]))
        self.places: dict[str, str] = {}  # by folder of files, the one of a character that they lie in
        self.placed: dict[Written, Lying] = {}
        self.unclear: set[Written] = set()
        self.added: list[Lying] = []
        self.stayed: set[str] = set()  # folders of which something lies where it was written
        self.moved: dict[str, str] = {}  # a folder of today by that which was renamed to it
        self.lies_at: dict[str, str] = {}  # the other way round
        self.merged: dict[str, str] = {}  # by folder that became part of another, that one
        self.made: dict[tuple[str, str], str] = {}  # ids of new characters, by show and name
        self.rejected: dict[Written, int] = {}  # deleted ones, with the number of the event that says so
        self.contested: set[str] = set()  # files and folders of today of which something is in conflict

    def planned(self, lying: Sequence[Lying]) -> Plan:
        found = find_places(self.manifest, lying, self._place_of)
        self.placed, self.unclear, self.added = found.placed, found.unclear, found.added
        self.out.notices += found.notices
        self.out.foreign += found.foreign
        for what, why in found.conflicts.items():
            self._contest(what, why)
        if any(not it.rejected for it in self.manifest.files) and not self.placed and not self.unclear:
            raise NotTheFolder(
                "none of the pictures that were written lies there: was the folder emptied, or is it another one?"
            )
        self._find_renamed()
        self._rename()
        self._merge()
        self._move()
        self._add()
        self._reject()
        self.out.base = self._base()
        return self.out

    # ------------------------------------------------------------------------------------------------ what lies where

    def _place_of(self, file: str) -> str:
        """The folder of a character that a file lies in, empty if in none: the nearest written, else its own."""
        folder = file.rpartition("/")[0]
        if folder not in self.places:
            self.places[folder] = self._character_folder([str(it) for it in PurePosixPath(file).parents][:-1])
        return self.places[folder]

    def _character_folder(self, parents: Sequence[str]) -> str:
        known = next((path for path in parents if path in self.folders), None)
        own = known or next(iter(parents), "")
        return "" if own in self.shows else own

    def _of_today(self, entry: Written) -> str:
        """Where an entry would lie had nobody moved it alone."""
        return self.moved.get(self._written_in(entry), self._written_in(entry))

    def _written_in(self, entry: Written) -> str:
        return entry.file.rpartition("/")[0]

    def _members(self, folder: str) -> Sequence[Written]:
        return self.members.get(folder, ())

    # ------------------------------------------------------------------------------------------------ whole folders

    def _find_renamed(self) -> None:
        places = {entry: self._place_of(it.file) for entry, it in self.placed.items()}
        occupied = {*places.values(), *(self._place_of(it.file) for it in self.added)}
        named = {entry: place for entry, place in places.items() if not self._is_noise(place)}
        self.stayed = stayed(self.members, places)
        self.moved = renamed(self.folders, self.members, named, occupied)
        self.lies_at = {new: old for old, new in self.moved.items()}

    def _is_noise(self, folder: str) -> bool:
        name = PurePosixPath(folder).name
        return folder not in self.folders and (name.casefold() == NOBODY or is_noise(name))

    def _rename(self) -> None:
        for old, new in sorted(self.moved.items()):
            folder = self.folders[old]
            if self._is_as_written(folder, new):
                continue
            head = self.current.head(folder.character)
            wanted, now = self._name_at(folder, new), self.current.names.get(head)
            if now is None:
                self._contest(new, f"there is no character {folder.character} any more")
            elif composed(now) == composed(wanted):
                continue
            elif composed(now) != composed(folder.name):
                called = self.current.called(head)
                self._contest(new, f"since the export {folder.name or folder.character} was renamed to {called}")
            else:
                self._say(do="rename", character=head, name=wanted, shown_by=self._shown(old))
        self._contest_who_follows()

    def _contest_who_follows(self) -> None:
        """Whoever was renamed to where another one stays as written, as that is in conflict, stays so as well."""
        following = {old: new for old, new in self.moved.items() if new in self.moved}
        while new := {new for new in following.values() if self.moved[new] in self.contested} - self.contested:
            self.contested |= new

    def _is_as_written(self, folder: Folder, new: str) -> bool:
        """Whether a folder was only carried to another place."""
        return PurePosixPath(new).name == PurePosixPath(folder.path).name

    def _name_at(self, folder: Folder, new: str) -> str:
        """The name of a character whose folder lies there: in place of another one its name as typed."""
        name = PurePosixPath(new).name
        if self._is_as_written(folder, new):
            return folder.name
        return self.folders[new].name if new in self.folders else "" if name == folder.character else name

    def _shown(self, folder: str) -> list[str]:
        placed = (it.images[0] for it in self._members(folder) if it in self.placed)
        return [image for image in placed if image in self.current.who][:SHOWN_BY]

    def _merge(self) -> None:
        """A folder of which nothing is left in its place, and all that is left lies in one other with pictures of its
        own, is part of that."""
        for folder in sorted(self.folders):
            members = [it for it in self._members(folder) if it in self.placed]
            places = {self._place_of(self.placed[it].file) for it in members}
            own = self.folders[folder]
            if not own.character or len(places) != 1 or len(members) < WHOLE_SHARE * len(self._members(folder)):
                continue
            (place,) = places
            target = self._known(place)
            if place == self.moved.get(folder, folder) or target is None or target.show != own.show:
                continue
            if target.path not in self.stayed and target.path not in self.moved:
                continue
            head, part = self.current.head(target.character), self.current.head(own.character)
            if not head or head == own.character:
                continue
            self.merged[folder] = place
            if head == part:
                continue
            if part != own.character or {part, head} - self.current.names.keys():
                self._contest(place, f"{self.current.called(part)} is another character by now, and is not merged")
                continue
            shown = {"shown_by": self._shown(target.path), "other_shown_by": self._shown(folder)}
            self._say(do="merge", character=head, other=own.character, **shown)

    def _known(self, place: str) -> Folder | None:
        """The folder that was written which lies at a place today."""
        return self.folders.get(self.lies_at.get(place, place))

    # ------------------------------------------------------------------------------------------------ single pictures

    def _move(self) -> None:
        told: dict[tuple[str, ...], list[str]] = defaultdict(list)
        fresh: dict[tuple[str, str], list[Written]] = defaultdict(list)
        for entry, it in sorted(self.placed.items(), key=lambda found: found[0].file):
            place, own = self._place_of(it.file), self.folders[self._written_in(entry)]
            self._take_back(entry)
            if place == self._of_today(entry) or own.path in self.merged:
                continue
            if not place:
                self.out.notices.append(f"{it.file}: lies in no folder of a character, and says nothing")
                continue
            whom = self._whom(place, own.show)
            if whom.startswith("+"):
                fresh[own.show, place].append(entry)
            elif self._may_go(entry, it.file, own, whom):
                key = ("set", whom) if whom else ("not", self.current.head(own.character))
                told[key].append(entry.images[0])
        for (show, place), entries in sorted(fresh.items()):
            self._found_somebody(show, place, entries)
        for (do, whom), images in sorted(told.items()):
            self._say(do="set_character" if do == "set" else "not_character", images=images, character=whom)

    def _take_back(self, entry: Written) -> None:
        """A picture that was deleted and lies there again."""
        if entry.rejected and entry.rejected in self.current.in_force:
            self._say(do="undo", event=entry.rejected)

    def _whom(self, place: str, show: str) -> str:
        """Whom pictures of a show that lie at a place show: a character, nobody, or a new one (`+`)."""
        if folder := self._known(place):
            return self.current.head(folder.character)
        if self._is_noise(place):
            return ""
        name = PurePosixPath(place).name
        same = [*self.bearers.get(name, ()), *([name] if name in self.current.names else ())]
        same = [it for it in same if self.current.shows.get(it, show) == show]
        return self.current.head(min(same)) if same else "+"

    def _may_go(self, entry: Written, file: str, own: Folder, whom: str) -> bool:
        """Whether that it shows `whom` is to be said: it is not known yet, and nothing else was said since."""
        image = entry.images[0]
        now = self.current.who.get(image)
        if now is None:
            self._contest(file, "the picture is not there any more")
            return False
        before = self.current.head(own.character)
        if whom == before:
            return False  # only carried to another folder of the same
        banned = self.current.banned.get(image, frozenset())
        if now == whom or (not whom and (before in banned or own.character in banned)):
            return False
        if now != before:
            self._contest(file, f"since the export it was given to {self.current.called(now)}")
            return False
        return True

    def _found_somebody(self, show: str, place: str, entries: Sequence[Written]) -> None:
        """A new folder is a new character."""
        owns = [self.folders[self._written_in(entry)] for entry in entries]
        going = [
            entry
            for entry, own in zip(entries, owns, strict=True)
            if self._may_go(entry, self.placed[entry].file, own, "+")
        ]
        if not going:
            return
        character = new_character([Picture(image=it.images[0]) for it in going], self.when)
        self.made[show, place] = character
        origins = {self.current.head(self.folders[self._written_in(it)].character) for it in going}
        split = {"split_from": min(origins)} if len(origins) == 1 and "" not in origins else {}
        name = PurePosixPath(place).name
        self._say(do="set_character", images=[it.images[0] for it in going], character=character, name=name, **split)

    def _add(self) -> None:
        """Pictures of the project that a person took from elsewhere."""
        told: dict[str, list[str]] = defaultdict(list)
        for it in self.added:
            place, show = self._place_of(it.file), it.image.partition(".")[0]
            whom = self._whom(place, show) if place else ""
            if whom == "+":
                whom = self.made.get((show, place), "+")
            now = self.current.who.get(it.image)
            if whom == "+":
                whom = self.made[show, place] = new_character([Picture(image=it.image)], self.when)
                self._say(do="set_character", images=[it.image], character=whom, name=PurePosixPath(place).name)
            elif not whom:
                self.out.notices.append(f"{it.file}: shows {it.image}, and says nothing where it lies")
            elif now != whom:
                told[whom].append(it.image)
        for whom, images in sorted(told.items()):
            self._say(do="set_character", images=sorted(images), character=whom)

    def _reject(self) -> None:
        for entry in self.manifest.files:
            if entry in self.placed or entry in self.unclear or entry.rejected:
                continue
            own, image = self.folders[self._written_in(entry)], entry.images[0]
            now = self.current.who.get(image)
            there = [it for it in entry.images if it in self.current.who]
            if now is None or not set(there) - self.current.rejected:
                continue  # gone, or rejected already
            if set(there) & self.current.kept:
                self._contest(entry.file, "was deleted, and since the export a person kept it")
            elif now != self.current.head(own.character):
                self._contest(
                    entry.file, f"was deleted, and since the export it was given to {self.current.called(now)}"
                )
            else:
                self.rejected[entry] = len(self.out.said)
                self._say(do="reject", images=there)

    def _contest(self, what: str, why: str) -> None:
        self.contested.add(what)
        self.out.conflicts.append(f"{what}: {why}")

    def _say(self, **event: Any) -> None:
        self.out.said.append(event)

    # ------------------------------------------------------------------------------------------------ the next base

    def _home(self, entry: Written) -> str:
        own = self._written_in(entry)
        return own if (new := self.merged.get(own) or self.moved.get(own, own)) in self.contested else new

    def _base(self) -> Manifest:
        """What the folder says once that was said; where something was in conflict, what was written stays."""
        merged = {old for old, place in self.merged.items() if place not in self.contested}
        moved = {old: new for old, new in self.moved.items() if new not in self.contested}
        gone = merged | (set(moved.values()) - moved.keys())  # another one lies in their place
        folders = {it.path: it for it in self.manifest.folders if it.path not in gone | moved.keys()}
        for old, new in moved.items():
            own = self.folders[old]
            folders[new] = replace(own, path=new, name=self._name_at(own, new))
        for (show, place), character in self.made.items():
            folders.setdefault(place, Folder(place, show, character, PurePosixPath(place).name))
        files = []
        for entry in self.manifest.files:
            it = self.placed.get(entry)
            place = self._place_of(it.file) if it else ""
            if it and not {it.file, place} & self.contested and place in folders:
                name = PurePosixPath(it.file).name
                files.append(replace(entry, file=f"{place}/{name}", sha256=it.sha256, rejected=""))
            elif (own := self._written_in(entry)) in gone - merged:
                continue
            elif (home := self._home(entry)) in folders:
                if entry in self.rejected:
                    self.out.rejected[len(files)] = self.rejected[entry]
                files.append(replace(entry, file=f"{home}/{PurePosixPath(entry.file).name}"))
        passed_over = self.contested | {it.file for it in files}
        files += [
            Written(it.file, it.sha256, (it.image,))
            for it in self.added
            if it.file not in passed_over and it.file.rpartition("/")[0] in folders
        ]
        return Manifest(sorted(folders.values(), key=lambda it: it.path), files)
