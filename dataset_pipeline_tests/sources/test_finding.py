import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.base.file_names import slug
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.names import parse_release_name, show_of_folder
from dataset_pipeline.sources.source import Rejected

MATROSKA = b"\x1a\x45\xdf\xa3"

# Name, title, season, episode.
NAMES = [
    (
        "[SubsPlease] 16bit Sensation - Another Layer - 07 (1080p) [771BDD0C]",
        "16bit Sensation - Another Layer", None, "e07",
    ),
    ("[HorribleSubs] Toaru Kagaku no Railgun T - 25 [1080p]", "Toaru Kagaku no Railgun T", None, "e25"),
    ("[Hayaisubs] Yama no Susume 2 - 18 [720p]", "Yama no Susume 2", None, "e18"),
    ("[Group] Only Title - No Episode", "Only Title", None, None),
    ("Show.Name.S01E02.1080p.WEB-DL.x264-GRP", "Show Name", 1, "e02"),
    ("Show Name S01E02 - The Second (2019) [1080p]", "Show Name", 1, "e02"),
    ("Show 1x02", "Show", 1, "e02"),
    ("[Group] Title - 07v2 (1080p) [771BDD0C]", "Title", None, "e07"),
    ("[Group] Title - 07 [1080p]", "Title", None, "e07"),
    ("Title_24_[BDRip_1920x1080_x264_FLAC]", "Title", None, "e24"),
    ("葬送のフリーレン 第07話「おとぎ話」 (AT-X 1280x720 x264 AAC)", "葬送のフリーレン", None, "e07"),
    ("Title - 第十二話", "Title", None, "e12"),
    ("Title EP07", "Title", None, "e07"),
    ("Title Ep.7", "Title", None, "e07"),
    ("Title Episode 7", "Title", None, "e07"),
    ("title_ep01", "title", None, "e01"),
    ("demo_episode_01", "demo", None, "e01"),
    ("Show #05 - The Way", "Show", None, "e05"),
    ("Show.Name.E05.720p", "Show Name", None, "e05"),
    ("07", "", None, "e07"),
    ("07 - The Land of Souls", "", None, "e07"),
    ("86 - 07 [1080p]", "86", None, "e07"),
    ("3x3 Eyes - 02", "3x3 Eyes", None, "e02"),
    ("Mob Psycho 100 III - 03", "Mob Psycho 100 III", None, "e03"),
    ("Dr. Stone S3 - 04", "Dr. Stone", 3, "e04"),
    ("Title 2nd Season - 05", "Title", 2, "e05"),
    ("Title Season 2 - 07", "Title", 2, "e07"),
    ("One Piece - 1071 (1080p)", "One Piece", None, "e1071"),
    ("Detective Conan - 345 - The Head-On Battle", "Detective Conan", None, "e345"),
    ("Title - 12 END [1080p]", "Title", None, "e12"),
    ("Title - 01-02 [1080p]", "Title", None, "e01-02"),
    ("Title - S01E01-E02 - Pilot", "Title", 1, "e01-02"),
    ("[DHR&Hakuhonoo][Sousou no Frieren][07v2][1080P][HEVC]", "Sousou no Frieren", None, "e07"),
    ("【喵萌奶茶】★10月新番★[葬送的芙莉莲][07][1080p]", "葬送的芙莉莲", None, "e07"),
    ("[a-s]_show_name_-_07_rs2_[1080p_bd-rip][12345678]", "show name", None, "e07"),
    # Specials and half episodes take no real episode's place.
    ("Title - SP2 [1080p]", "Title", None, "sp2"),
    ("Title OVA", "Title", None, "ova"),
    ("Title OVA - 02", "Title", None, "ova2"),
    ("Title OAD [BD 1080p]", "Title", None, "oad"),
    ("[Group] Title - NCOP1 [BD 1080p x265 10bit FLAC][0011AABB]", "Title", None, "ncop1"),
    ("[Group] Title Movie [BD 1080p]", "Title", None, "movie"),
    ("Kara no Kyoukai Movie 5 - Paradox Paradigm [BD]", "Kara no Kyoukai", None, "movie5"),
    ("[Group] Title - 07.5 [1080p]", "Title", None, "e07-5"),
    ("Girls_und_Panzer_-_07.5_[1080p]", "Girls und Panzer", None, "e07-5"),
    ("Special A - 07", "Special A", None, "e07"),
    ("Show - 03 - The Movie Night", "Show", None, "e03"),
    # Resolutions, checksums, codecs and years are no episodes.
    ("Title.2023.1080p.BluRay.x265.10bit", "Title 2023", None, None),
    ("Blade Runner 2049 (2017) [1080p]", "Blade Runner 2049", None, None),
    ("Title [1080p] [12345678]", "Title", None, None),
    ("My Show (2019) [10bit]", "My Show", None, None),
    ("big_buck_bunny_0_30", "big buck bunny 0 30", None, None),
    ("clip", "clip", None, None),
    ("recording (1)", "recording", None, None),
]  # fmt: skip


def _touch(path: Path, content: bytes = MATROSKA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(path)
    return path


def _keys(*paths: Path) -> list[str]:
    return [source.key for source in find_sources(paths).sources]


@pytest.mark.parametrize(("name", "title", "season", "episode"), NAMES)
def test_release_names_are_read(name, title, season, episode):
    found = parse_release_name(name)
    assert (found.title, found.season, found.episode) == (title, season, episode)


@pytest.mark.parametrize(
    ("folder", "title", "season"),
    [
        ("[Group] Frieren [1080p][Batch]", "Frieren", None),
        ("Frieren (2023)", "Frieren", None),
        ("Frieren S2", "Frieren", 2),
        ("Sousou_no_Frieren", "Sousou no Frieren", None),
        ("Frieren.Season.2.1080p.BluRay", "Frieren", 2),
        ("My Show 01-12 [720p]", "My Show", None),
        ("葬送のフリーレン", "葬送のフリーレン", None),
        ("[86]", "[86]", None),
    ],
)
def test_show_folders_lose_their_release_junk(folder, title, season):
    assert show_of_folder(folder) == (title, season)


def test_a_slug_is_ascii_never_empty_and_cut_with_its_hash():
    assert slug("Kono Subarashii Sekai ni Shukufuku o! 2") == "kono-subarashii-sekai-ni-shukufuku-o-2"
    assert slug("Mushoku's ＡＢＣ") == "mushokus-abc"
    assert slug("葬送のフリーレン") == "zangsongnofuriren"
    assert re.fullmatch("[0-9a-f]{8}", slug("!?"))
    assert slug("!?") != slug("??")
    long_a, long_b = slug("a" * 80 + "1", 60), slug("a" * 80 + "2", 60)
    assert len(long_a) == 60
    assert long_a != long_b
    assert slug("\u30ab\u3099") == slug("\u30ac")  # decomposed as macOS stores it, composed elsewhere


def test_a_folder_names_its_show_and_season_folders_lend_their_number(tmp_path):
    tree = tmp_path / "episodes"
    _touch(tree / "Frieren (2023)" / "[SubsPlease] Sousou no Frieren - 01 (1080p) [ABCDEF01].mkv")
    _touch(tree / "Frieren (2023)" / "Season 2" / "Sousou no Frieren - 01.mkv")
    _touch(tree / "Frieren (2023)" / "Specials" / "Sousou no Frieren - 01.mkv")
    _touch(tree / "Frieren (2023)" / "Extras" / "NCOP1.mkv")
    _touch(tree / "[Group] Loose Title - 03.mkv")
    sources = {source.key: source for source in find_sources([tree]).sources}
    assert sorted(sources) == ["frieren.e01", "frieren.ncop1", "frieren.s02e01", "frieren.sp1", "loose-title.e03"]
    first = sources["frieren.e01"]
    assert (first.show, first.episode, first.show_title) == ("frieren", "e01", "Frieren")
    assert first.episode_title == "[SubsPlease] Sousou no Frieren - 01 (1080p) [ABCDEF01]"
    assert (first.kind, first.size_bytes) == ("video", 4)


def test_a_show_folder_given_itself_names_shows_by_file_or_by_itself(tmp_path):
    _touch(tmp_path / "My Show" / "S01E01.mkv")
    _touch(tmp_path / "My Show" / "Other - 02.mkv")
    assert _keys(tmp_path / "My Show") == ["my-show.s01e01", "other.e02"]
    assert _keys(tmp_path / "My Show" / "S01E01.mkv") == ["my-show.s01e01"]
    assert _keys(tmp_path / "My Show", tmp_path / "My Show" / "S01E01.mkv") == ["my-show.s01e01", "other.e02"]


def test_one_show_or_one_episode_of_a_tree_is_named_as_the_tree_names_it(tmp_path):
    tree, apart = tmp_path / "shows", tmp_path / "apart" / "My Show"
    _touch(tree / "My Show" / "Other - 02.mkv")
    _touch(apart / "Other - 02.mkv")
    whole = find_sources([tree]).sources
    for given in (tree, tree / "My Show", tree / "My Show" / "Other - 02.mkv"):
        assert find_sources([given], trees=[tmp_path / "else", tree]).sources == whole
    assert [it.key for it in whole] == ["my-show.e02"]
    assert [it.key for it in find_sources([apart], trees=[tree]).sources] == ["other.e02"]


def test_videos_are_known_by_content_and_a_false_one_is_listed_by_its_ending(tmp_path, monkeypatch):
    tree = tmp_path / "t" / "Show"
    _touch(tree / "01.mkv", b"this is text")
    _touch(tree / "02.mkv", b"")
    for name in ("01.nfo", "01.srt", "cover.jpg", "readme.txt", "03.mkv.part", "04.mkv.!qB", ".05.mkv", "Thumbs.db"):
        _touch(tree / name)
    _touch(tree / "@eaDir" / "06.mkv")
    _touch(tree / "data", b"\0" * 100)
    found = find_sources([tmp_path / "t"])
    assert [source.key for source in found.sources] == ["show.e01", "show.e02"]
    assert found.rejected == []


def test_a_video_without_an_ending_is_found(tmp_path):
    import av

    path = tmp_path / "t" / "Show" / "Vol. 1 - 07"
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert _keys(tmp_path / "t") == ["show.e07"]


def test_a_folder_of_pictures_without_videos_is_one_episode(tmp_path):
    tree = tmp_path / "episodes"
    _touch(tree / "Show" / "01.mkv")
    _picture(tree / "Show" / "poster.png")
    _picture(tree / "Show" / "ep02" / "a.png")
    _picture(tree / "Show" / "ep02" / "more" / "b.png")
    _picture(tree / "Artbook" / "p1.png")
    sources = {source.key: source for source in find_sources([tree]).sources}
    assert sorted(sources) == ["artbook.artbook", "show.e01", "show.e02"]
    assert sources["show.e02"].kind == "folder"
    assert sources["show.e02"].path == tree / "Show" / "ep02"
    assert [s.key for s in find_sources([tree / "Artbook"]).sources] == ["artbook.artbook"]


def test_what_is_no_source_is_rejected_with_its_reason(tmp_path):
    tree = tmp_path / "episodes"
    _touch(tree / "Show" / "01.mkv")
    _touch(tree / "Show" / "Subs" / "01.ass")
    (tree / "Show" / "empty").mkdir()
    (tree / "Nothing").mkdir()
    _touch(tree / "Texts" / "a.txt")
    (tmp_path / "void").mkdir()
    note = _touch(tmp_path / "note.txt")
    found = find_sources([tree, tmp_path / "void", note])
    assert [source.key for source in found.sources] == ["show.e01"]
    assert found.rejected == [
        Rejected(tree / "Nothing", "is empty"),
        Rejected(tree / "Show" / "empty", "is empty"),
        Rejected(tree / "Texts", "holds neither videos nor pictures"),
        Rejected(note, "is no video; single pictures go in by their folder"),
        Rejected(tmp_path / "void", "holds neither videos nor pictures"),
    ]
    with pytest.raises(FileNotFoundError, match=r"no such source: .*absent"):
        find_sources([tmp_path / "absent"])


def test_every_claimant_of_one_key_gets_a_hash_that_a_moved_tree_keeps(tmp_path):
    keys = []
    for mount in ("one", "two/deeper"):
        tree = tmp_path / mount
        _touch(tree / "Show" / "[A] Show - 01.mkv")
        _touch(tree / "Show" / "[B] Show - 01v2.mkv")
        _touch(tree / "Show" / "[B] Show - 02.mkv")
        keys.append(_keys(tree))
    assert keys[0] == keys[1]
    assert [re.sub("-[0-9a-f]{8}$", "-#", key) for key in keys[0]] == ["show.e01-#", "show.e01-#", "show.e02"]
    assert len(set(keys[0])) == 3


def test_one_path_in_two_trees_gives_two_keys(tmp_path):
    _touch(tmp_path / "one" / "Show" / "01.mkv", MATROSKA + b"1")
    _touch(tmp_path / "two" / "Show" / "01.mkv", MATROSKA + b"2")
    keys = _keys(tmp_path / "one", tmp_path / "two")
    assert len(set(keys)) == 2
    assert all(re.fullmatch(r"show\.e01-[0-9a-f]{8}", key) for key in keys)


def test_keys_are_ascii_at_most_100_characters_and_no_windows_device(tmp_path):
    tree = tmp_path / "t"
    _touch(tree / "Con" / "01.mkv")
    _touch(tree / "葬送のフリーレン" / "第01話.mkv")
    _touch(tree / "？！" / "01.mkv")
    _touch(tree / ("long title " * 12) / (("an episode of many words " * 6) + ".mkv"))
    _touch(tree / ("long title " * 12) / (("an episode of many words " * 6) + "too.mkv"))
    keys = _keys(tree)
    assert len(keys) == len(set(keys)) == 5
    assert all(re.fullmatch(r"[a-z0-9_-]+\.[a-z0-9_-]+", key) and len(key) <= 100 for key in keys)
    assert "con_.e01" in keys
    assert "zangsongnofuriren.e01" in keys
    assert any(re.fullmatch(r"[0-9a-f]{8}\.e01", key) for key in keys)


def test_links_that_lead_back_up_are_followed_once(tmp_path):
    tree = tmp_path / "t"
    _touch(tree / "Show" / "01.mkv")
    (tree / "Show" / "again").symlink_to(tree, target_is_directory=True)
    (tree / "Show" / "02.mkv").symlink_to(tree / "Show" / "01.mkv")
    assert _keys(tree) == ["show.e01"]


def test_of_several_ways_to_a_source_one_without_links_names_it_then_the_shortest(tmp_path):
    tree, elsewhere = tmp_path / "t", tmp_path / "elsewhere"
    _touch(tree / "b" / "X.mkv")
    (tree / "a").mkdir()
    (tree / "a" / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "0.mkv").symlink_to(tree / "b" / "X.mkv")
    assert _keys(tree) == ["b.x"]
    _touch(elsewhere / "Y.mkv")
    (tree / "a" / "deep").mkdir()
    (tree / "a" / "deep" / "Y.mkv").symlink_to(elsewhere / "Y.mkv")
    (tree / "d").symlink_to(elsewhere, target_is_directory=True)
    (tree / "c").symlink_to(elsewhere, target_is_directory=True)
    assert _keys(tree) == ["b.x", "c.y"]
    (tmp_path / "link").symlink_to(tree, target_is_directory=True)
    assert [source.path for source in find_sources([tmp_path / "link"]).sources] == [
        tmp_path / "link" / "b" / "X.mkv",
        tmp_path / "link" / "c" / "Y.mkv",
    ]


def test_the_fingerprint_of_a_folder_follows_the_tags_beside_its_pictures_and_no_other_text(tmp_path):
    folder = tmp_path / "t" / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("RGB", (4, 4)).save(folder / name)

    def fingerprint() -> str:
        [source] = find_sources([tmp_path / "t"]).sources
        return source.fingerprint

    seen = [fingerprint()]
    (folder / "readme.txt").write_text("not of a picture")
    assert fingerprint() == seen[0]
    for name in ("a.txt", "a.TXT", "a.caption", "sub/b.tags", "sub/b.png.txt"):
        (folder / name).write_text("hat")
        seen.append(fingerprint())
    (folder / "a.txt").write_text("hat, smile")
    seen.append(fingerprint())
    assert len(set(seen)) == len(seen)
    for name in ("a.txt", "a.TXT", "a.caption", "sub/b.tags", "sub/b.png.txt"):
        (folder / name).unlink(missing_ok=True)  # a.TXT is a.txt on some systems
    assert fingerprint() == seen[0]


def test_fingerprints_follow_content_and_time_and_nothing_else(tmp_path):
    video = _touch(tmp_path / "t" / "Show" / "01.mkv", MATROSKA + bytes(200_000))
    _picture(tmp_path / "t" / "Art" / "a.png")

    def fingerprints() -> list[str]:
        return [source.fingerprint for source in find_sources([tmp_path / "t"]).sources]

    before = fingerprints()
    assert fingerprints() == before
    stat = video.stat()
    with video.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(video, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = fingerprints()
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    _picture(tmp_path / "t" / "Art" / "b.png")
    assert fingerprints()[0] != before[0]
