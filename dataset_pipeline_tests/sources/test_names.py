"""What release names say, a few for each shape that people use."""

from pathlib import Path

import pytest

from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.names import (
    names_no_show,
    parse_release_name,
    season_of_folder,
    show_of_folder,
    tells_nothing,
)

MATROSKA = b"\x1a\x45\xdf\xa3"

# Name -> title; season; episode. `-`: none.
NAMES = """
# A season's number and one that counts over all seasons.
[Grp] Summer Pockets - 20 (S01E20) - (WEB 1080p) [10270B68] -> Summer Pockets; 1; e20
[Grp] Paper Comet - 05 - S01E05 - The Comet (BD 1080p) -> Paper Comet; 1; e05
[Grp] Paper Comet - 07.5 (S00E01) [BD 1080p] -> Paper Comet; 0; e01
Paper Comet 313-315 s16e03-05 -> Paper Comet; 16; e03-05
[Grp]_Kuroko_no_Basuke_S3_-_01_(51)_[720p] -> Kuroko no Basuke; 3; e01
[Grp] Dragon Ball Kai (2014) - 002 (100) [1280x720][DD66AFB7] -> Dragon Ball Kai; -; e02
[Grp]_Fairy_Tail_2_-_52_(227)_[720p][10bit][9DF6B8D5] -> Fairy Tail 2; -; e52
Paper Comet - S2020E1527 [1527] [2020-10-11] - The Comet -> Paper Comet; 2020; e1527
# Seasons in brackets, in other languages, in words, before a part.
[Grp] Boku no Hero Academia (Season 7) - 05 (1080p) -> Boku no Hero Academia; 7; e05
Yama no Susume (Saison 2) 16 vostfr [720p] -> Yama no Susume; 2; e16
Paper Comet Staffel 3 Folge 4 -> Paper Comet; 3; e04
Paper Comet Saison VII Episode 2 FRENCH -> Paper Comet; 7; e02
Paper Comet - Temporada 2 [HDTV 720p][Cap.201][Castellano] -> Paper Comet; 2; e01
Paper Comet - Stagione 6 (2016) 720p ep13 -> Paper Comet; 6; e13
Paper Comet Seizoen 2 - 04 -> Paper Comet; 2; e04
Paper Comet [S2] - 04 [1080p] -> Paper Comet; 2; e04
Paper Comet S2 [05][HEVC-10bit 1080p AAC] -> Paper Comet; 2; e05
Paper Comet S21 999 -> Paper Comet; 21; e999
Paper Comet Second Season - 01 -> Paper Comet; 2; e01
Paper Comet 3rd Season - 11 -> Paper Comet; 3; e11
Paper Comet Season II - 04 -> Paper Comet; 2; e04
Paper Comet S2 Part 2 - 03 -> Paper Comet; 2; e03
Paper Comet 2nd Season Cour 2 - 03 -> Paper Comet; 2; e03
Paper Comet Part 2 - 03 -> Paper Comet Part 2; -; e03
Paper Comet III - 03 -> Paper Comet III; -; e03
Paper Comet: The Final Season - 03 -> Paper Comet: The Final Season; -; e03
To Another Series III - Episode 5 VOSTFR (1080p) -> To Another Series III; -; e05
Paper Comet S2 (Ep 6) (1440p_24fps) -> Paper Comet; 2; e06
Something.Season.2.1of4.The.Comet.HDTV -> Something; 2; e01
# SxxEyy in all its forms.
[S02-E06] Dan Da Dan [1080p] [Sub] @Group -> Dan Da Dan; 2; e06
Paper.Comet.S01E02.1080p.WEB-DL.x264-GRP -> Paper Comet; 1; e02
Paper Comet s1e2 -> Paper Comet; 1; e02
Paper Comet S01.E02 -> Paper Comet; 1; e02
Paper Comet S01 EP02 -> Paper Comet; 1; e02
Paper.Comet.S01.E.02.English.AC3 -> Paper Comet; 1; e02
Paper.Comet.S010E16.720p.HDTV -> Paper Comet; 10; e16
Paper Comet - S06xE01 -> Paper Comet; 6; e01
Paper_Comet-s03-x01 -> Paper Comet; 3; e01
Paper.Comet.S2016E08.The.Comet.1080p -> Paper Comet; 2016; e08
Paper Comet - S41 E10478 - 2014-08-15 -> Paper Comet; 41; e10478
Paper Comet 2016 02 25 S20E142 -> Paper Comet; 20; e142
Paper Comet - S01E04v2 -> Paper Comet; 1; e04
Paper.Comet.S01E04.2-45.PM.[HDTV-720p] -> Paper Comet; 1; e04
Comet-S07E12-31st_Century_Fox-[Bluray-1080p] -> Comet; 7; e12
Paper Comet S01E11.5 [SP]-The Comet -> Paper Comet; 1; e11-5
Paper Comet (S05E06-08 of 24) The Comet -> Paper Comet; 5; e06-08
[ Paper Comet S02E10 1080p AMZN WEB-DL x264-Grp ] -> Paper Comet; 2; e10
S02E06 - Playtime Is Different -> ; 2; e06
S02E10 Six to Ten [SDTV] -> ; 2; e10
Somali and the Forest - S01E01 (WEB 1080p Hi10P) [BB7C6531] -> Somali and the Forest; 1; e01
[0x539] Paper Comet - S01E01 (WEB 1080p) -> Paper Comet; 1; e01
# Season and episode with an x.
Paper Comet 1x02 -> Paper Comet; 1; e02
Paper Comet - [05x07] - The Comet -> Paper Comet; 5; e07
Paper Comet [1x05] The Comet -> Paper Comet; 1; e05
Paper_Comet_-_7x6_-_The_Comet_[SDTV] -> Paper Comet; 7; e06
Paper_Comet.19x06.720p_HDTV_x264-Grp -> Paper Comet; 19; e06
Paper Comet - 2016x231 -> Paper Comet; 2016; e231
Paper Comet - 1x02-03-04 - The Comet -> Paper Comet; 1; e02-04
Paper.Comet.1x02.1x03.HDTV -> Paper Comet; 1; e02-03
Hidamari Sketch x365 - 09 -> Hidamari Sketch x365; -; e09
3x3 Eyes - 02 -> 3x3 Eyes; -; e02
# Several episodes in one file.
Naruto Shippuuden 220-221 [1080p] -> Naruto Shippuuden; -; e220-221
[Grp]_White_Album_1-13_(1280x720_Blu-Ray_FLAC) -> White Album; -; e01-13
[Grp] Paper Comet 1017-1088 (WEB 1080p) -> Paper Comet; -; e1017-1088
[Grp] Paper Comet 01 - 119 [1080p] [Batch] -> Paper Comet; -; e01-119
[Grp] Paper Comet - 01v2-03v2 (1280x720 h264 AAC) -> Paper Comet; -; e01-03
[Grp] Paper Comet - 01+02 [720p] -> Paper Comet; -; e01-02
[Grp] Paper Comet - 01~12 [720p] -> Paper Comet; -; e01-12
[Grp] Paper Comet (Black) #1-4 (BS11 1280x720) -> Paper Comet; -; e01-04
Paper Comet Episode 99-100 [1080p] -> Paper Comet; -; e99-100
Paper.Comet.S03E01-02.720p -> Paper Comet; 3; e01-02
Paper.Comet.S03E01E02E03.720p -> Paper Comet; 3; e01-03
Paper Comet - S01E02 - S01E03 - The Comet -> Paper Comet; 1; e02-03
Paper.Comet.S01E02.S01E03.HDTV -> Paper Comet; 1; e02-03
Paper.Comet.S01E01+02.FRENCH -> Paper Comet; 1; e01-02
003-004. Paper Comet - The Comet -> ; -; e03-04
# One of so many.
Code_Geass_R2_TV_[20_of_25]_[ru_jp] -> Code Geass R2 TV; -; e20
Noein_[01_of_24]_[ru_jp]_[torrents_ru] -> Noein; -; e01
Paper.Comet.14.of.21.The.Comet.720p -> Paper Comet; -; e14
The Story of Paper 1 of 6 - Ancestors HDTV -> The Story of Paper; -; e01
# Numbers in titles and after the episode.
07 - 100 Days -> ; -; e07
[Grp] Paper Comet - 100 Years Quest - 01 (1080p) -> Paper Comet - 100 Years Quest; -; e01
[Grp]_Monster_-_11_-_511_Kinderheim_[6C70C4E4] -> Monster; -; e11
One Piece - 1071 - 100 Days at Sea -> One Piece; -; e1071
Paper Comet - 07 - 12 Angry Comets -> Paper Comet; -; e07
91 Days - 05 -> 91 Days; -; e05
Eighty-Six 86 - 03 -> Eighty-Six 86; -; e03
86 - 07 [1080p] -> 86; -; e07
Paper Comet 00 - 25 -> Paper Comet 00; -; e25
Paper Comet - 24end [720p] -> Paper Comet; -; e24
Paper Comet - 24 end -> Paper Comet; -; e24
Paper Comet - 01RAW (TX 1280x720) -> Paper Comet; -; e01
Paper Comet 00 - 01 [1080p] -> Paper Comet 00; -; e01
22-7 - 05 -> 22-7; -; e05
22-7 -> 22-7; -; -
5-toubun no Hanayome - 03 -> 5-toubun no Hanayome; -; e03
Mob Psycho 100 S2 - 03 -> Mob Psycho 100; 2; e03
Mob Psycho 100 S02E03 -> Mob Psycho 100; 2; e03
[Grp]No.6 01 [720p][H264][A956075C] -> No.6; -; e01
Area 88 05 [480p] -> Area 88; -; e05
Mob Psycho 100 12 -> Mob Psycho 100; -; e12
Yama no Susume 2 -> Yama no Susume 2; -; -
Kimi no Na wa. 2016 -> Kimi no Na wa. 2016; -; -
Blade Runner 2049 (2017) [1080p] -> Blade Runner 2049; -; -
Paper Comet (2019) - 04 -> Paper Comet; -; e04
Paper Comet 2018 06 720p x265 -> Paper Comet 2018; -; e06
Evangelion_1.11_You_Are_(Not)_Alone_(2009)_[1080p,BluRay,x264]_-_Grp -> Evangelion 1.11 You Are Not Alone; -; -
[FFF] Futsuu no Joshikousei ga [Locodol] Yatte Mita. - 01 [BAD09C76] -> \
Futsuu no Joshikousei ga Locodol Yatte Mita; -; e01
# Versions, ends, halves, two parts of one.
[Grp] Paper Comet - 01v2 [1080p] -> Paper Comet; -; e01
[Grp]_Paper_Comet_10_v2_[DVD][h264][C83D206B] -> Paper Comet; -; e10
[KLF]_D.Gray-man_04V2 -> D.Gray-man; -; e04
Paper Comet - 12 END -> Paper Comet; -; e12
【Grp】★【Paper Comet】[24（END）][GB][720P_MP4] -> Paper Comet; -; e24
[Grp][Paper Comet][13完][720P][MP4] -> Paper Comet; -; e13
[Grp] Paper Comet - 07.5 [1080p] -> Paper Comet; -; e07-5
[Grp]_Nurse_Comet_Magikarte_02.5_[902BB314] -> Nurse Comet Magikarte; -; e02-5
[Grp]Sora.no.Comet.EP07.5(BD.720p.AAC)[C37580F8] -> Sora no Comet; -; e07-5
第07.5話 -> ; -; e07-5
Hidamari Sketch x365 - 09a (DVD) [49874745] -> Hidamari Sketch x365; -; e09a
[Grp] Gintama - 111C [1080p] -> Gintama; -; e111c
# Specials take no real episode's place.
[UTW]_Accel_World_-_EX01_[BD][h264-720p_AAC][3E56EE18] -> Accel World; -; ex1
[Grp] Paper Comet - NCOP1v2 [BD] -> Paper Comet; -; ncop1
[Grp] Paper Comet NCED_02 [BD 1080p] -> Paper Comet; -; nced2
[Grp] Paper Comet - Creditless Opening 2 [BD] -> Paper Comet; -; ncop2
[Grp]_Paper_Comet_ED2_(704x480_DVD_AAC)_[3B65D1E6] -> Paper Comet; -; ed2
[Grp] Paper Comet - OP4a (1280x720) -> Paper Comet; -; op4a
[Grp] Paper Comet - SP01 [BD] -> Paper Comet; -; sp1
[Grp]_Paper_Comet_OVA3.5_(1280x720_Blu-ray_FLAC) -> Paper Comet; -; ova3-5
Paper Comet S2 OVA - 01 -> Paper Comet; 2; ova1
Paper Comet - OVA_01 (BD 1280x720 AVC AAC) -> Paper Comet; -; ova1
Paper Comet OAD 2 [BD] -> Paper Comet; -; oad2
Paper.Comet.OVA.1080p.BluRay -> Paper Comet; -; ova
Paper Comet Menu 3 [BD] -> Paper Comet; -; menu3
Paper Comet Extra 02 [BD] -> Paper Comet; -; extra2
Paper Comet - Ending 2v2 [1080p] -> Paper Comet; -; ed2
Paper Comet - NC Opening 1 -> Paper Comet; -; ncop1
Paper Comet - PV2 [1080p] -> Paper Comet; -; pv2
[Grp]_Paper_Comet_Movie_9_vostfr_HD -> Paper Comet; -; movie9
Paper Comet 番外編 -> Paper Comet; -; sp
Special A - 07 -> Special A; -; e07
EX Comet - 07 -> EX Comet; -; e07
# Everything in brackets.
[Mobile Suit Comet HD REMASTER][07][Big5][720p][AVC_AAC][encoded by GRP] -> Mobile Suit Comet HD REMASTER; -; e07
[Grp][Paper_Comet][07][Big5][1080P] -> Paper Comet; -; e07
[Grp][Paper Comet][01-24完][720P][MP4] -> Paper Comet; -; e01-24
[异域字幕組][漆黑的子彈][Black Bullet][11][1280x720][繁体] -> Black Bullet; -; e11
[Grp][国漫][斗罗大陆][Douro Mainland][2019][215][AVC][GB][1080P] -> Douro Mainland; -; e215
[Grp][Paper Comet][第05话][1080p_HEVC] -> Paper Comet; -; e05
[Grp][名侦探柯南][857集][简体][MP4][1080P] -> 名侦探柯南; -; e857
【Grp】★10月新番【Paper Comet】【24】【END】GB MP4_720P -> Paper Comet; -; e24
[Grp][10月新番][Paper Comet][18][720P] -> Paper Comet; -; e18
[Grp] 葬送的芙莉莲 / Sousou no Frieren - 12 [1080p] -> Sousou no Frieren; -; e12
[Grp][葬送的芙莉莲/Sousou no Frieren][07][1080p] -> Sousou no Frieren; -; e07
Fate/stay night - 05 -> Fate/stay night; -; e05
# Japanese, Chinese, Korean.
Paper Comet 第1期 第03話 -> Paper Comet; 1; e03
Paper Comet 第二季 - 03 -> Paper Comet; 2; e03
Paper Comet 第3回 -> Paper Comet; -; e03
Paper Comet 제3화 -> Paper Comet; -; e03
Paper Comet 시즌 2 12회 -> Paper Comet; 2; e12
Paper Comet ＃０７ -> Paper Comet; -; e07
# Numbers without a mark.
[Grp]_Paper_Comet_13-15_[BD_1080p][Grp] -> Paper Comet; -; e13-15
[Grp]Paper_Comet-01[1280x720][122E6EF8] -> Paper Comet; -; e01
[Grp] Paper Comet 603 VOSTFR PS VITA (960x544) V2 -> Paper Comet; -; e603
[Grp]_Paper_Comet_681_[VOSTFR][HD_1280x720]_V2 -> Paper Comet; -; e681
[Grp]Nichijou_05_1080.BD.FLAC.Grp_[D7F8E39D] -> Nichijou; -; e05
The.Animatrix.08.A.Detective.Story.720p.BluRay -> The Animatrix; -; e08
[Grp] Paper 14 Forever Fall -> Paper; -; e14
[Grp] Monster 34 - At the End of Darkness [781219F1] -> Monster; -; e34
[Grp] 01 - Tari Tari [BD][720p][AAC] -> Tari Tari; -; e01
[Grp] 06 Paper Comet II (720p 8bit AAC) -> Paper Comet II; -; e06
Episode 14 Ore no Comet. (saison 2) VOSTFR -> Ore no Comet; 2; e14
05 - Paper Comet - Article 1 - [Grp](E7724B68) -> ; -; e05
Paper+Comet+Episode+3 -> Paper Comet; -; e03
Paper Comet 60.Bolum (31.01.2023) 720p -> Paper Comet; -; e60
Paper.Comet.2014.10.31.HDTV -> Paper Comet; -; e20141031
[Grp] HEROMAN - 10_(XviD_Grp) -> HEROMAN; -; e10
[Grp] Paper Comet (9) -> Paper Comet; -; e09
[Grp] Paper Comet - 02 [720] -> Paper Comet; -; e02
recording (1) -> recording; -; -
# Tags are no part of a title, discs and packs no episodes.
Paper Comet - The Long Name (Central Anime, 720p) [46B35E25] -> Paper Comet; -; -
Howl's_Moving_Castle_(2004)_[1080p,BluRay,flac,dts,x264]_-_Grp v2 -> Howl's Moving Castle; -; -
[Grp] Paper Comet Vol. 2 (BD 1280x720 x264 AAC) -> Paper Comet; -; -
Paper Comet Disc 1 [BD] -> Paper Comet; -; -
Paper.Comet.S07D1.NTSC.DVDR-Grp -> Paper Comet; 7; -
Paper.Comet.S01-S04.DVDRip.XviD-Grp -> Paper Comet; -; -
Mr. Holland's Opus - 01 -> Mr. Holland's Opus; -; e01
c48db7d2aeb040e8a920a9fd6effcbf4 -> ; -; -
00001 -> ; -; -
"""

ROWS = [line for line in NAMES.replace("\\\n", "").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("row", ROWS)
def test_a_release_name_tells_show_season_and_episode(row):
    name, _, wanted = row.partition(" -> ")
    found = parse_release_name(name)
    told = [found.title, "-" if found.season is None else str(found.season), found.episode or "-"]
    assert told == [part.strip() for part in wanted.split(";")]


@pytest.mark.parametrize(
    ("folder", "title", "season"),
    [
        ("Paper Comet (Season 2) [1080p]", "Paper Comet", 2),
        ("Paper Comet (Saison 2)", "Paper Comet", 2),
        ("Paper.Comet.S02E05.1080p.WEB-DL-GRP", "Paper Comet", 2),
        ("[Grp] Paper Comet - 07 [1080p]", "Paper Comet", None),
        ("[Grp][Paper Comet][01-12][1080P]", "Paper Comet", None),
        ("Paper Comet 01-24 Complete", "Paper Comet", None),
        ("Paper.Comet.S01-S04.DVDRip", "Paper Comet", None),
        ("[BD] Paper Comet Vol.1", "Paper Comet", None),
        ("Paper Comet Disc 2", "Paper Comet", None),
        ("Area 88", "Area 88", None),
        ("Mob Psycho 100", "Mob Psycho 100", None),
        ("86 - Eighty Six", "86 - Eighty Six", None),
        ("Paper Comet OVA", "Paper Comet OVA", None),
        ("3x3 Eyes", "3x3 Eyes", None),
    ],
)
def test_a_folder_of_a_release_names_the_show_alone(folder, title, season):
    assert show_of_folder(folder) == (title, season)


def test_folders_of_discs_and_tags_name_no_show():
    discs = ("Disc 1", "disc_02", "BD1", "BD 2", "DVD_01", "Vol.2", "Volume 3", "CD1", "BDMV", "STREAM", "VIDEO_TS")
    assert all(map(names_no_show, (*discs, "1080p", "[BluRay]", "第1巻")))
    assert not any(map(names_no_show, ("Frieren", "86", "20240101", "Disc World", "Volume of Comets", "Season 1")))
    seasons = ("Season 2 [1080p]", "Saison 3", "第二期", "2nd Season", "S02 (BD)")
    assert [season_of_folder(name) for name in seasons] == [2, 3, 2, 2, 2]
    assert [season_of_folder(name) for name in ("Second Comet", "Staffel", "Paper Comet S2")] == [None, None, None]
    assert tells_nothing("c48db7d2aeb040e8a920a9fd6effcbf4")
    assert not tells_nothing("Sousou no Frieren")


def _keys(tree: Path, *files: str) -> list[str]:
    for name in files:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(MATROSKA + name.encode())
    return [source.key for source in find_sources([tree]).sources]


def test_an_episode_in_a_folder_of_its_disc_or_release_belongs_to_its_show(tmp_path):
    keys = _keys(
        tmp_path / "t",
        "Paper Comet/Disc 1/Paper Comet - 01.mkv",
        "Paper Comet/BD2/[Grp] Paper Comet - 02 [1080p].mkv",
        "Paper Comet/Vol.2/DVD_01/03.mkv",
        "Paper Comet/Season 2/1080p/Paper Comet - 01.mkv",
        "Paper Comet/Specials/Disc 1/Paper Comet - 01.mkv",
        "Paper.Comet.S03E04.1080p.WEB-DL-GRP/c48db7d2aeb040e8a920a9fd6effcbf4.mkv",
        "Paper.Comet.S03E05.1080p.WEB-DL-GRP/paper.comet.s03e05.mkv",
    )
    shows = {key.partition(".")[0] for key in keys}
    assert shows == {"paper-comet"}
    episodes = ["e01", "e02", "e03", "s02e01", "s03e04", "s03e05", "sp1"]
    assert sorted(key.partition(".")[2] for key in keys) == episodes


def test_the_numbered_files_of_a_disc_are_of_the_show_that_holds_it(tmp_path):
    keys = _keys(tmp_path / "Paper Comet", "Vol.1/BDMV/STREAM/00001.m2ts", "Vol.1/BDMV/STREAM/00002.m2ts")
    assert keys == ["paper-comet.00001", "paper-comet.00002"]


def test_a_number_over_all_seasons_splits_no_show(tmp_path):
    keys = _keys(tmp_path / "t", "[A] Paper Comet - 20 (S01E20).mkv", "[A] Paper Comet - 21 (S01E21).mkv")
    assert keys == ["paper-comet.s01e20", "paper-comet.s01e21"]


def test_two_files_of_one_number_written_differently_both_get_a_hash(tmp_path):
    keys = _keys(tmp_path / "t", "[A] Paper Comet - 20 (S01E20).mkv", "Paper Comet S01E20.mkv")
    assert [key[:-9] for key in keys] == ["paper-comet.s01e20"] * 2
    assert len(set(keys)) == 2
