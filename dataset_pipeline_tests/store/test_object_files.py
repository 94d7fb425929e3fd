"""What a store in a bucket asks for, and what it says when it gets none of it."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from dataset_pipeline.base.errors import PassingError
from dataset_pipeline.store import buckets as reaching
from dataset_pipeline.store import object_files, pointers, store, transit
from dataset_pipeline.store.files import LocalFiles, StoreError, open_files
from dataset_pipeline.store.object_files import ObjectFiles
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.store.bucket import Bucket

EPISODE = "show.e01"


def scores(*numbers: int):
    row = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1", "score": 0.5}
    return SCHEMAS["quality_scores"].table([{**row, "image_id": f"{EPISODE}/{number:08d}"} for number in numbers])


def of_another_process(root: str) -> Store:
    """A store that is told of no writes of this process, and tells of none."""
    found = Store(root)
    pointers._OPEN.discard(found._pointers)
    return found


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    pytest.importorskip("obstore", reason="`uv sync --extra bucket` brings it")
    made = Bucket()
    monkeypatch.setattr(object_files, "client_of", lambda root: made)
    monkeypatch.setattr(pointers, "_READ", pointers._Read())
    return made


@pytest.fixture
def root() -> str:
    return f"s3://{uuid.uuid4().hex}/store"


def test_a_picture_that_is_new_is_one_request_and_read_back_none(bucket: Bucket, root: str) -> None:
    found = Store(root)
    paths = [found.put_picture("crops", EPISODE, f"{EPISODE}/{n:08d}", b"%d" % n, "png") for n in range(20)]
    found.write("quality_scores", scores(), EPISODE)
    assert sorted(path for call, path in bucket.asked if "crops" in path) == sorted(paths)
    assert [found.read_picture(path) for path in found.ahead(paths)] == [b"%d" % n for n in range(20)]
    assert len([call for call, path in bucket.asked if path in paths]) == 20


def test_a_table_that_is_new_is_two_requests_and_read_back_none(bucket: Bucket, root: str) -> None:
    found = Store(root)
    found.write("quality_scores", scores(1), EPISODE)
    bucket.asked.clear()
    found.write("crops", SCHEMAS["crops"].empty(), EPISODE)
    assert [call for call, _ in bucket.asked] == ["put", "put"]
    bucket.asked.clear()
    assert found.read("crops", EPISODE).num_rows == 0
    assert found.read("quality_scores", EPISODE).num_rows == 1
    assert bucket.asked == []


def test_pictures_are_asked_for_ahead_and_at_most_once(bucket: Bucket, root: str) -> None:
    first = Store(root)
    paths = [first.put_picture("crops", EPISODE, f"{EPISODE}/{n:08d}", b"%d" % n, "png") for n in range(100)]
    first.write("quality_scores", scores(), EPISODE)
    other = Store(root)
    bucket.asked.clear()
    coming = other.ahead([*paths, *paths])
    assert other.read_picture(next(coming)) == b"0"
    until = time.monotonic() + 5
    while len(bucket.asked) < transit.AHEAD and time.monotonic() < until:
        time.sleep(0.01)
    assert transit.AHEAD <= len(bucket.asked) <= transit.AHEAD + 1
    assert [other.read_picture(path) for path in coming] == [
        *(b"%d" % n for n in range(1, 100)),
        *(b"%d" % n for n in range(100)),
    ]
    assert sorted(path for _, path in bucket.asked) == sorted(paths)


def test_what_is_not_held_in_memory_any_more_is_asked_for_again(
    bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transit, "HELD_BYTES", 1000)
    found = Store(root)
    paths = [found.put_picture("crops", EPISODE, f"{EPISODE}/{n:08d}", bytes([n]) * 400, "png") for n in range(10)]
    assert [found.read_picture(path) for path in paths] == [bytes([n]) * 400 for n in range(10)]
    assert sum(map(len, found._transit._held.values())) <= 1000


def test_a_table_waits_for_its_pictures_and_fails_with_them(
    bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Store(root)
    put, may_go = bucket.put, threading.Event()

    def slow(path: str, data: bytes, **options: object) -> object:
        if "crops" in path:
            may_go.wait(5)
            if data == b"bad":
                raise OSError("no room left in the bucket")
        return put(path, data, **options)

    monkeypatch.setattr(bucket, "put", slow)
    path = found.put_picture("crops", EPISODE, f"{EPISODE}/00000001", b"good", "png")
    threading.Timer(0.1, may_go.set).start()
    crops = SCHEMAS["crops"].empty()
    found.write("crops", crops, EPISODE)
    puts = [path for call, path in bucket.asked if call == "put"]
    assert puts.index(path) < puts.index(pointers.pointer_path("crops", EPISODE))
    found.put_picture("crops", EPISODE, f"{EPISODE}/00000002", b"bad", "png")
    with pytest.raises(PassingError, match="no room left"):
        found.write("crops", crops, EPISODE, pointers.Provenance(code_version="2"))
    assert Store(root).pointer("crops", EPISODE).provenance.code_version == ""
    found.write("crops", crops, EPISODE, pointers.Provenance(code_version="2"))  # the next try puts what it needs
    assert Store(root).pointer("crops", EPISODE).provenance.code_version == "2"


def test_a_picture_that_is_found_again_by_what_it_is_made_from_is_there_at_once(
    bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = bucket.put
    monkeypatch.setattr(bucket, "put", lambda *given, **options: (time.sleep(0.1), put(*given, **options))[1])
    found = Store(root)
    path = found.put_picture("crops", EPISODE, f"{EPISODE}/00000001", b"pixels", "png", made_from="0" * 64)
    assert ("put", path) in bucket.asked


@pytest.mark.parametrize("call", ["put", "get", "list"])
def test_a_bucket_that_is_away_is_tried_again_and_said_in_words(
    call: str, bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError("Error performing PUT: error sending request\n\nDebug source: Reqwest { retries: 100 }")

    for name in ("put", "get", "head", "list", "list_with_delimiter"):
        monkeypatch.setattr(bucket, name, away)
    found = Store(root)
    calls = {
        "put": lambda: found.agree("models.lock", {}),
        "get": lambda: found._files.read_tail("crops/a/b.png"),
        "list": lambda: found.episodes("tags"),
    }
    with pytest.raises(PassingError, match=r"^s3://\S+/store cannot be reached \(Error performing PUT: [a-z ]+\): see"):
        calls[call]()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("error sending request", PassingError),
        ("SlowDown: Please reduce your request rate.", PassingError),
        ("<Code>NoSuchBucket</Code>", StoreError),
        ("<Code>AccessDenied</Code>", StoreError),
    ],
)
def test_only_what_a_person_has_to_mend_is_wrong_for_good(
    said: str, kind: type[Exception], bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(said)

    monkeypatch.setattr(bucket, "list_with_delimiter", refused)
    with pytest.raises(kind):
        Store(root).episodes("video")


def test_freshness_of_many_episodes_is_one_listing_and_what_has_changed(
    bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, names = Store(root), [f"show.e{number:03d}" for number in range(50)]
    for name in names:
        first.write("tags", SCHEMAS["tags"].empty(), name)
    for listed in (1000, 20):  # whether a request lists all pointers, or all of an asset
        monkeypatch.setattr(pointers, "LISTED", listed)
        other = Store(root)
        assert other.episodes("tags") == names
        bucket.asked.clear()
        assert list(other.pointers("tags", names)) == names
        assert {call for call, _ in bucket.asked} <= {"list"}
        assert len(bucket.asked) == (0 if listed == 1000 else 1)
        pointers._READ.__init__()
        assert len(Store(root).pointers("tags", [*names, "show.new"])) == 50
        first.write("tags", SCHEMAS["tags"].empty(), "show.e007", pointers.Provenance(code_version=f"2-{listed}"))
        bucket.asked.clear()
        found = Store(root).pointers("tags", names)
        assert found["show.e007"].provenance.code_version == f"2-{listed}"
        assert {call for call, path in bucket.asked if "e0" in path or call == "list"} == {"list"}


def test_a_look_at_all_pointers_of_a_small_store_is_one_listing_and_sees_what_this_process_does(
    bucket: Bucket, root: str
) -> None:
    Store(root).write("tags", SCHEMAS["tags"].empty(), EPISODE)
    found = Store(root)
    bucket.asked.clear()
    assert found.pointer("tags", EPISODE) is not None
    assert found.pointer("crops", EPISODE) is None
    assert (found.episodes("tags"), found.episodes("crops"), found.episodes("stills")) == ([EPISODE], [], [])
    assert [call for call, _ in bucket.asked] == ["list"]
    found.write("crops", SCHEMAS["crops"].empty(), EPISODE)
    assert found.episodes("crops") == [EPISODE]
    found.forget(EPISODE)
    assert found.episodes("crops") == found.episodes("tags") == []
    assert found.pointer("tags", EPISODE) is None


def test_what_this_process_writes_all_its_stores_see_at_once(bucket: Bucket, root: str) -> None:
    mine, other = Store(root), Store(root)
    assert mine.pointer("tags", EPISODE) is mine.pointer("crops", EPISODE) is None
    assert mine.episodes("tags") == []
    other.write("tags", SCHEMAS["tags"].empty(), EPISODE)
    assert mine.pointer("tags", EPISODE) == other.pointer("tags", EPISODE)
    assert mine.episodes("tags") == [EPISODE]
    other.forget(EPISODE)
    assert mine.pointer("tags", EPISODE) is None


def test_a_pointer_that_another_process_changed_is_seen_after_a_moment_and_never_overwritten_unseen(
    bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = of_another_process(root), of_another_process(root)
    mine.write("quality_scores", scores(1), EPISODE)
    other.write("quality_scores", scores(1, 2), EPISODE)
    assert mine.pointer("quality_scores", EPISODE).rows == 1  # a look of a moment ago still counts
    monkeypatch.setattr(pointers, "LOOK_S", -1.0)
    assert mine.pointer("quality_scores", EPISODE).rows == 2


def test_who_writes_a_table_again_makes_it_current_whatever_another_process_wrote_a_moment_ago(
    bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = of_another_process(root), of_another_process(root)
    mine.write("quality_scores", scores(1), EPISODE)
    other.write("quality_scores", scores(1, 2), EPISODE)
    assert mine.write("quality_scores", scores(1), EPISODE).changed is True
    assert mine.write("quality_scores", scores(1), EPISODE).changed is False
    monkeypatch.setattr(pointers, "LOOK_S", -1.0)
    assert other.pointer("quality_scores", EPISODE).rows == 1


def test_an_old_picture_is_put_again_where_it_is_wanted_again(bucket: Bucket, root: str) -> None:
    files = ObjectFiles(root)
    files.keep("a/b/c.png", b"pixels")
    bucket.asked.clear()
    files.keep("a/b/c.png", b"pixels")
    assert [call for call, path in bucket.asked if path == "a/b/c.png"] == ["put", "head"]
    bucket.older_s["a/b/c.png"] = 2 * 3600.0
    assert files.age_and_size("a/b/c.png")[0] > 7000
    assert files.refresh("a/b/c.png")
    assert files.age_and_size("a/b/c.png")[0] < 60
    assert not files.refresh("a/b/d.png")


def test_a_server_that_takes_no_notice_of_conditions_is_found_out(
    bucket: Bucket, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_SAFE", set())
    Store(root).check_conditions()
    asked = len(bucket.asked)
    Store(root).check_conditions()
    assert len(bucket.asked) == asked
    bucket.minds = False
    with pytest.raises(StoreError, match=r"no notice of conditions .*: use it from one machine only"):
        Store(f"{root}/other").check_conditions()
    assert [it["path"] for some in bucket.list() for it in some] == []


def test_a_shared_folder_may_have_several_writers_and_what_fsspec_reaches_may_not(tmp_path: Path) -> None:
    Store(str(tmp_path)).check_conditions()
    assert [it for it in tmp_path.rglob("*") if it.is_file()] == []
    with pytest.raises(StoreError, match="knows no writing on a condition"):
        Store("memory://conditions").check_conditions()


def test_without_the_client_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StoreError, match="uv sync --extra bucket"):
        open_files("s3://lab/store")
    assert isinstance(open_files("/tmp"), LocalFiles)


@pytest.mark.parametrize("endpoint", ["not a url", "server:9000", "https://"])
def test_an_endpoint_that_is_no_address_is_named(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="`uv sync --extra bucket` brings it")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    with pytest.raises(StoreError, match=r"AWS_ENDPOINT_URL is .*: name the address of a server"):
        Store("s3://lab/store")


def test_an_account_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="`uv sync --extra bucket` brings it")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreError, match=r"Account must be specified\); set AZURE_STORAGE_ACCOUNT_NAME"):
        Store("az://lab/store")


def test_a_profile_of_the_cloud_s_own_tools_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*reaching.OWN_WAYS, "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert reaching._of_profile() == {}
    (tmp_path / "config").write_text(
        "[profile lab]\nregion = eu-west-1\nendpoint_url = http://lab:1\n[profile sso]\nsso_session = x\n"
    )
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = k\naws_secret_access_key = s%s\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    expected = {"access_key_id": "k", "secret_access_key": "s%s", "region": "eu-west-1", "endpoint": "http://lab:1"}
    assert reaching._of_profile() == expected
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert "region" not in reaching._of_profile()
    monkeypatch.setenv("AWS_PROFILE", "sso")
    with pytest.raises(StoreError, match="export-credentials"):
        reaching._of_profile()
    (tmp_path / "config").write_text("nothing\n")
    with pytest.raises(StoreError, match=r"config cannot be read .*: mend it"):
        reaching._of_profile()
