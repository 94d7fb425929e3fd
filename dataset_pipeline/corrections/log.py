"""The events as they lie on disk or in a bucket: one file for each batch, none of which is ever changed by us.

`<when>-<content hash>.json` holds what was said at one go. Two copies of the folder are merged by having the files of
both; a person may write files there too, under any name that ends in `.json`. What was said last counts: by `when`
in the files, never by their names. A file without `when` was said before all those that have one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.corrections.events import EVENT_ID, event_of, told, with_ids
from dataset_pipeline.store.files import Files

FORMAT = 1
ENDING = ".json"
TIME = "%Y%m%dT%H%M%S.%fZ"
WHEN = re.compile(r"\d{8}T\d{6}\.\d{6}Z", re.ASCII)
BY = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{0,100}")


class FileState(NamedTuple):
    """By which a file that was corrected in place is known. modified_ns: 0 in an object store, where the size tells."""

    name: str
    size_bytes: int
    modified_ns: int


@dataclass
class Corrections:
    """events: all that was said, in its order. faults: by file (or place in it), why something there does not
    count. when: of each event that is known, by its id: UTC, `20261129T160301.123456Z`, empty
    where its file does not say. by: what wrote it."""

    events: list[Any] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    when: dict[str, str] = field(default_factory=dict)
    by: dict[str, str] = field(default_factory=dict)


class CorrectionLog:
    """The batches in one folder. Safe for many writers at once. What was read stays read until its file changes."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._read_before: dict[FileState, _Batch] = {}

    @property
    def uri(self) -> str:
        return self._files.uri("")

    def files(self) -> tuple[FileState, ...]:
        """The batches there are, sorted by name."""
        return tuple(map_all(self._state, [name for name in self._files.names("") if name.endswith(ENDING)]))

    def _state(self, name: str) -> FileState:
        try:
            if (path := self._files.local_path(name)) is not None:
                status = path.stat()
                return FileState(name, status.st_size, status.st_mtime_ns)
            return FileState(name, self._files.age_and_size(name)[1], 0)
        except OSError:
            return FileState(name, -1, 0)  # reading it says what is wrong

    def read(self) -> Corrections:
        """Everything said so far. A file or an event that cannot be used costs itself alone."""
        read = {file: self._read_before.get(file) or self._batch(file.name) for file in self.files()}
        self._read_before = {file: batch for file, batch in read.items() if not batch.faults}
        batches = sorted(read.items(), key=lambda it: (it[1].when, it[0]))
        found = Corrections()
        for file, batch in batches:
            found.faults |= {_shown(where): _shown(why) for where, why in batch.faults.items()}
            for number, event in enumerate(batch.events):
                if event.id in found.when:
                    found.faults[_shown(f"{file.name}, event {number + 1}")] = (
                        f"another event bears the id {event.id} already"
                    )
                    continue
                found.events.append(event)
                found.when[event.id] = batch.when
                found.by[event.id] = batch.by
        return found

    def append(self, events: Iterable[Any], by: str) -> list[Any]:
        """Write one batch, on the disk before this returns. Returns the events with their ids. by: what wrote them.

        It is said later than all that is there, also where a clock that went ahead wrote that.
        """
        events = list(events)
        if not events:
            return []
        when = _later_than(max(self.read().when.values(), default=""))
        written = with_ids(events, when)
        lines = ",\n  ".join(json.dumps(told(event), ensure_ascii=False) for event in written)
        head = f'{{"format": {FORMAT}, "when": "{when}", "by": {json.dumps(by)}, "events": [\n  '
        data = f"{head}{lines}\n]}}\n".encode()
        self._files.write(f"{when}-{hashlib.sha256(data).hexdigest()[:12]}{ENDING}", data, durable=True)
        return written

    def _batch(self, name: str) -> _Batch:
        try:
            found = json.loads(self._files.read(name).decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, and lists in lists in lists
            return _Batch(faults={name: f"it is no JSON that can be read ({error}): correct it or take it out"})
        except OSError as error:
            return _Batch(faults={name: f"it cannot be read: {error.strerror or error}"})
        if not isinstance(found, dict) or not isinstance(found.get("events"), list):
            return _Batch(faults={name: 'it lacks "events", a list'})
        if found.get("format", FORMAT) != FORMAT:
            return _Batch(faults={name: f"it is of the format {found['format']!r:.40}, which a later version wrote"})
        when, by = found.get("when", ""), found.get("by", "")
        if when != "" and not _is_time(when):
            return _Batch(faults={name: f'"when" is {when!r:.40}: write a time as 20261129T160301.123456Z, or none'})
        if not isinstance(by, str) or not BY.fullmatch(by):
            return _Batch(faults={name: '"by" has to be one line of at most 100 characters'})
        batch = _Batch(when, by=by)
        for number, one in enumerate(found["events"]):
            try:
                event = event_of(one)
            except (ValueError, RecursionError) as error:
                batch.faults[f"{name}, event {number + 1}"] = str(error)
                continue
            batch.events.append(event if event.id else event.model_copy(update={"id": _id_in(name, number + 1)}))
        return batch


@dataclass
class _Batch:
    when: str = ""
    events: list[Any] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    by: str = ""


def _is_time(when: Any) -> bool:
    if not isinstance(when, str) or not WHEN.fullmatch(when):
        return False
    try:
        return datetime.strptime(when, TIME).year < datetime.max.year  # so that something can be said later
    except ValueError:
        return False


def _later_than(when: str) -> str:
    """The time that it is, or where that is not later than this one, a microsecond after it."""
    at = datetime.now(UTC)
    if when:
        at = max(at, datetime.strptime(when, TIME).replace(tzinfo=UTC) + timedelta(microseconds=1))
    return at.strftime(TIME)


def _id_in(name: str, number: int) -> str:
    """The id of an event that bears none, by its place in a file of this name."""
    found = f"{name.removesuffix(ENDING)}.{number}"
    if EVENT_ID.fullmatch(found):
        return found
    return f"f-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}.{number}"


def _shown(text: str) -> str:
    """Without halves of letters, which cannot be printed."""
    return text.encode("utf-8", "backslashreplace").decode()
