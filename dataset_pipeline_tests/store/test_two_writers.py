"""Two processes that write the same tables at the same moment, for many rounds."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.servers.s3 import s3_server

pytestmark = pytest.mark.thorough

ROUNDS, ROWS_A_ROUND, WRITERS = 200, 3, 2
EPISODE, MEASURED = "a.b", "quality_scores__measured"
# In each round both measure the pictures of the round, half of them the same, and write the table of the episode.
WRITER = """
    import sys, time
    from pathlib import Path
    import pyarrow as pa
    from dataset_pipeline.store.provenance import Provenance
    from dataset_pipeline.store.reuse import measure_missing
    from dataset_pipeline.store.schemas import SCHEMAS
    from dataset_pipeline.store.store import Store
    root, folder, number, writers, rounds, rows = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
    SCHEMAS["quality_scores"].table([])
    store = Store(root)
    store.pointer("quality_scores", "a.b")
    (folder / f"ready-{number}").touch()
    while len(list(folder.glob("ready-*"))) < writers:
        time.sleep(0.001)
    for turn in range(rounds):
        names = [f"a.b/{turn:05d}{row:02d}{number if row else 9}" for row in range(rows)]
        wanted = pa.table({"image_id": names, "pixel_sha256": ["p"] * rows})
        measured, _ = measure_missing(
            store, "quality_scores", "a.b", wanted, "m", "1", lambda some: ({"score": float(number)} for _ in some)
        )
        assert measured["image_id"].to_pylist() == sorted(names)
        written = store.write("quality_scores", measured, "a.b", Provenance(code_version=f"{number}-{turn}"))
        assert written.pointer.provenance.code_version == f"{number}-{turn}"
        seen = store.read("quality_scores", "a.b")
        assert seen.num_rows == rows
    shared = [f"a.b/{turn:05d}009" for turn in range(rounds)]
    wanted = pa.table({"image_id": shared, "pixel_sha256": ["p"] * rounds})
    answers, reuse = measure_missing(store, "quality_scores", "a.b", wanted, "m", "1", None)
    assert reuse.measured == 0
    print(answers["score"].to_pylist())
"""


@pytest.fixture(params=["folder", "bucket"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The root of a store that several may write."""
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    pytest.importorskip("obstore", reason="`uv sync --extra bucket` brings it")
    with s3_server(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server.root("store")


def test_two_writers_of_one_episode_lose_no_row_and_fail_in_no_round(shared: str, tmp_path: Path) -> None:
    Store(shared).check_conditions()
    command = [sys.executable, "-c", textwrap.dedent(WRITER), shared, str(tmp_path)]
    rounds = [str(WRITERS), str(ROUNDS), str(ROWS_A_ROUND)]
    writers = [
        subprocess.Popen(
            [*command, str(number), *rounds],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )
        for number in range(WRITERS)
    ]  # fmt: skip
    told = [writer.communicate(timeout=280) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * WRITERS, told
    assert told[0][0] == told[1][0], "both go on with the same answer for a picture that both measured"
    store = Store(shared)
    names = {
        f"{EPISODE}/{turn:05d}{row:02d}{number if row else 9}"
        for turn in range(ROUNDS)
        for row in range(ROWS_A_ROUND)
        for number in range(WRITERS)
    }
    assert set(store.read(MEASURED, EPISODE)["image_id"].to_pylist()) == names
    [last] = [store.pointer("quality_scores", EPISODE)]
    assert last is not None
    assert last.provenance.code_version.endswith(f"-{ROUNDS - 1}")
    assert store.read("quality_scores", EPISODE).num_rows == ROWS_A_ROUND
    store.clean(0)
    assert set(store.read(MEASURED, EPISODE)["image_id"].to_pylist()) == names
