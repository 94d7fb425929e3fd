from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from dataset_pipeline.settings import (
    DEMO_DEFAULTS,
    NO_RESULT,
    OVERLAY_NAME,
    OVERLAY_VARIABLE,
    Section,
    Settings,
    SettingsError,
    load_settings,
    resources_folder,
)

DEFAULTS = resources_folder() / "settings.toml"


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERLAY_VARIABLE, raising=False)
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path)


def overlay(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_default_loads_as_it_is_written() -> None:
    written = tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))
    assert load_settings().model_dump(mode="json") == written
    assert set(written) == set(Settings.model_fields)


def test_every_key_of_the_defaults_is_explained_by_a_comment() -> None:
    before, unexplained = "", []
    for line in DEFAULTS.read_text(encoding="utf-8").splitlines():
        is_key = "=" in line and not line.startswith(("#", " ", "["))
        if is_key and not (before.startswith("#") or ("=" in before and not before.startswith("["))):
            unexplained.append(line)
        # A list over several lines belongs to the key it began with.
        before = before if line.startswith((" ", "]")) else line
    assert unexplained == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[crops]\nhead_min_scor = 0.5", ["crops.head_min_scor = 0.5: unknown key", "head_min_score"]),
        ("[crop]\nkinds = []", ["crop = {'kinds': []}: unknown key", "crops"]),
        ("[[concept_balance.weights]]\npatern = 'x'", ["concept_balance.weights.0.patern = 'x': unknown", "pattern"]),
        ("[crops]\nhead_min_score = 'high'", ["crops.head_min_score = 'high'", "number", "from 0.0 to 1.0"]),
        ("[crops]\nhead_min_score = '0.5'", ["crops.head_min_score = '0.5'", "number"]),
        ("[crops]\nhead_min_score = true", ["crops.head_min_score = True", "number"]),
        ("[crops]\nhead_min_side_px = 95.5", ["crops.head_min_side_px = 95.5", "integer", "from 1 to 65536"]),
        ("[crops]\nkinds = 'person'", ["crops.kinds = 'person'", "list"]),
        ("[crops]\nkinds = ['person', 'foot']", ["crops.kinds.1 = 'foot'", "'head'", "'hand'"]),
        ("[selection]\nstills = 1", ["selection.stills = 1", "boolean"]),
        ("[distinct_frames]\nsimilarity = 1.5", ["distinct_frames.similarity = 1.5", "from -1.0 to 1.0"]),
        ("[distinct_frames]\nsimilarity = nan", ["distinct_frames.similarity = nan"]),
        ("[selection]\nmin_quality = inf", ["selection.min_quality = inf", "finite"]),
        ("[detections]\nscore_floor = 0", ["detections.score_floor = 0", "above 0.0 to 1.0"]),
        ("[keyframes]\nalpha_background = [0, 0, 256]", ["keyframes.alpha_background.2 = 256", "from 0 to 255"]),
        ("[keyframes]\nalpha_background = [0, 0]", ["keyframes.alpha_background = [0, 0]", "at least 3"]),
        ("[models]\ndevice = 'gpu'", ["models.device = 'gpu': must be auto, cpu, cuda or cuda:N"]),
        ("[descriptions]\nurl = 'localhost'", ["descriptions.url = 'localhost': must be an address that begins with"]),
        ("[captions]\nrating_words = { explicit = 3 }", ["captions.rating_words.explicit = 3: ", "string"]),
        ("[captions]\nrating_words = 3", ["captions.rating_words = 3: ", "dictionary"]),
        ("[training_images]\nformat = 'gif'", ["training_images.format = 'gif'", "'webp'", "'png'", "'jpg'"]),
        (
            "[concept_balance]\narrangement = ['show', 'size']",
            ["concept_balance.arrangement.1 = 'size'", "'n_characters'"],
        ),
        ("[concept_balance]\narrangement = []", ["concept_balance.arrangement = []", "at least 1"]),
        (
            "[concept_balance]\narrangement = ['show', 'show']",
            ["concept_balance.arrangement = ['show', 'show']: each may be named once"],
        ),
        ("[concept_balance]\nmax_images = -1", ["concept_balance.max_images = -1", "from 0"]),
        ("[models]\ntagger = 3", ["models.tagger = 3: ", "valid string", "valid list"]),
        ("[models]\ntagger = ['a', 3]", ["models.tagger.1 = 3: ", "valid string"]),
        ("[people]\nseen_score = 0.1", ["  people.doubt_score = 0.2 is above people.seen_score = 0.1"]),
        (
            "[keyframes]\nmode = 'poses'\n[tracks]\nmode = 'off'",
            ['keyframes.mode = "poses" chooses from tracks, and tracks.mode = "off"'],
        ),
        (
            "[selection]\nframes_of_panoramas = 'thin'\n[alignments]\npanoramas = 'off'",
            ['selection.frames_of_panoramas = "thin" leaves out frames', 'alignments.panoramas = "off" makes none'],
        ),
        ("[selection]\nstrata = ['show', 'show']", ["selection.strata = ['show', 'show']: each may be named once"]),
        ("[sr_selection]\nstrata = ['copy', 'copy']", ["strata = ['copy', 'copy']: each may be named once"]),
        ("[details]\nkinds = ['face', 'face']", ["details.kinds = ['face', 'face']: each may be named once"]),
        (
            "[selection]\nmin_share_without_text = 0",
            ["selection.min_share_without_text = 0:", "greater than 0", "above 0.0 to 1.0"],
        ),
        ("[selection]\nmax_faces = -2", ["selection.max_faces = -2", "from -1"]),
        ("[training_images]\nresize_by = 'width'", ["training_images.resize_by = 'width'", "'long_side'"]),
        ("[training_images]\nmax_short_side_px = 5", ["max_short_side_px = 5: unknown key", "max_side_px"]),
        ('[captions]\nseparator = "\\n"', ["captions.separator = '\\n'"]),
    ],
)
def test_a_bad_value_is_named_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    path = overlay(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    for part in [str(path), *told]:
        assert part in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(overlay(tmp_path, "[crops]\nhead_scale = 0.5\nface_scale = 11\n[tags]\nmax_tags = 0"))
    assert len(str(caught.value).splitlines()) == 4


def test_bounds_that_cross_are_told() -> None:
    with pytest.raises(SettingsError, match=r"min_multiply = 5\.0 is above concept_balance\.max_multiply = 2\.0"):
        load_settings(concept_balance__min_multiply=5.0, concept_balance__max_multiply=2.0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"people__doubt_score": 0.5}, r"^people\.doubt_score = 0\.5 is above people\.seen_score = 0\.4$"),
        (
            {"character_gallery__max_difference": 0.2, "character_gallery__outfit_difference": 0.3},
            r"outfit_difference = 0\.3 is above character_gallery\.max_difference = 0\.2",
        ),
        ({"keyframes__hi": 300}, r"keyframes\.lo = 320 is above keyframes\.hi = 300"),
        (
            {"repeated_frames__similarity": 0.8},
            r"aligned_similarity = 0\.9 is above repeated_frames\.similarity = 0\.8",
        ),
        (
            {"panoramas__like_frame": 0.8},
            r"^panoramas\.doubtful_like_frame = 0\.9 is above panoramas\.like_frame = 0\.8$",
        ),
        ({"panoramas__doubtful_known": 0.95}, r"doubtful_known = 0\.95 is above panoramas\.known = 0\.9"),
        ({"backdrops__like_frame": 0.8}, r"doubtful_like_frame = 0\.9 is above backdrops\.like_frame = 0\.8"),
        ({"backdrops__known": 0.7}, r"backdrops\.doubtful_known = 0\.75 is above backdrops\.known = 0\.7"),
        (
            {"burnt_in_text__min_score": 0.4},
            r"^text_lines\.score_floor = 0\.5 is above burnt_in_text\.min_score = 0\.4$",
        ),
        ({"details__target_px": 64, "details__bucket_step_px": 128}, r"step_px = 128 is above details\.target_px = 64"),
    ],
)
def test_thresholds_that_cross_are_told(changes: dict, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings(**changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"selection__min_faces": 1}, r"^selection\.min_faces counts faces, which detections\.kinds does not name"),
        ({"selection__max_faces": 0}, r"^selection\.max_faces counts faces"),
        ({"concept_balance__arrangement": ["fh_ratio"]}, r"^concept_balance\.arrangement counts faces"),
    ],
)
def test_faces_that_are_not_looked_for_cannot_be_asked_for(changes: dict, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings(detections__kinds=["person"], **changes)
    assert load_settings(**changes)
    assert load_settings(detections__kinds=["person"])


def test_bounds_of_faces_that_cannot_be_met_are_told() -> None:
    with pytest.raises(SettingsError, match=r"selection\.min_faces = 2 is above selection\.max_faces = 1"):
        load_settings(selection__min_faces=2, selection__max_faces=1)
    assert load_settings(selection__min_faces=2, selection__max_faces=-1)
    with pytest.raises(SettingsError, match=r"face_min_score = 0\.05 is below detections\.score_floor = 0\.1"):
        load_settings(selection__min_faces=1, selection__face_min_score=0.05)


def test_weights_of_a_file_come_after_those_of_the_settings_and_its_content_counts_not_its_place(
    tmp_path: Path,
) -> None:
    defaults = load_settings()
    comment = '# Fern, "the mage of the show\n'
    (tmp_path / "weights.csv").write_text(f"{comment}1_character, 3\n0_characters, 9\n")
    settings = load_settings(concept_balance__weights_csv="weights.csv")
    assert [(entry.pattern, entry.weight) for entry in settings.concept_balance.all_weights] == [
        ("0_characters", 0.5),
        ("character_others", 0.8),
        ("1_character", 3.0),
        ("0_characters", 9.0),
    ]
    before = settings.section_hash("concept_balance")
    assert before != defaults.section_hash("concept_balance")
    (tmp_path / "weights.csv").rename(tmp_path / "moved.csv")
    assert load_settings(concept_balance__weights_csv="moved.csv").section_hash("concept_balance") == before
    (tmp_path / "moved.csv").write_text("1_character, 4\n0_characters, 9\n")
    assert load_settings(concept_balance__weights_csv="moved.csv").section_hash("concept_balance") != before


def test_a_file_of_weights_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"weights_csv = 'absent\.csv': there is no file .*absent\.csv"):
        load_settings(concept_balance__weights_csv="absent.csv")
    (tmp_path / "weights.csv").write_text("1_character, 3\nfern\n")
    with pytest.raises(SettingsError, match=r"weights\.csv, line 2: 'fern' is no `pattern, weight`"):
        load_settings(concept_balance__weights_csv="weights.csv")


def test_two_concepts_of_one_name_are_told() -> None:
    concepts = [{"name": "x", "query": query, "activation_tag": query} for query in ("1girl", "1boy")]
    with pytest.raises(SettingsError, match=r"tags\.concepts: more than one is named 'x'"):
        load_settings(tags__concepts=concepts)


def test_a_folder_of_rules_that_is_not_there_is_told() -> None:
    with pytest.raises(SettingsError, match=r"tag_rules\.folder = 'rulse': there is no folder .*rulse"):
        load_settings(tag_rules__folder="rulse")


def test_a_broken_file_of_rules_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "implications.csv").write_text("tag,implies\ndress\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(tag_rules__folder=str(tmp_path))
    assert str(caught.value) == (
        f"tag_rules.folder = {str(tmp_path)!r}: {tmp_path / 'implications.csv'}, line 2: 'dress' is no `tag,implies` "
        "of two tags"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [("[crops\n", "not valid TOML"), ("crops = 3", "`crops` must be a table"), ("\xff", "not valid TOML")],
)
def test_a_file_that_is_no_settings_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    with pytest.raises(SettingsError, match=r"absent\.toml does not exist"):
        load_settings(tmp_path / "absent.toml")


def test_an_overlay_changes_only_what_it_names(tmp_path: Path) -> None:
    defaults = load_settings()
    changed = load_settings(overlay(tmp_path, "\ufeff[crops]\nhead_min_side_px = 128\nkinds = ['head']"))
    assert changed.crops.head_min_side_px == 128
    assert changed.crops.kinds == ["head"]
    assert changed.crops.person_min_side_px == defaults.crops.person_min_side_px
    assert changed.model_copy(update={"crops": defaults.crops}) == defaults


def test_defaults_of_a_pack_come_before_the_overlay(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text("[tracks]\nper_s = 2.0\n")
    assert load_settings(overlay, pack_defaults=DEMO_DEFAULTS).tracks.mode == "on"
    overlay.write_text('[tracks]\nmode = "off"\n')
    assert load_settings(overlay, pack_defaults=DEMO_DEFAULTS).tracks.mode == "off"


def test_a_settings_file_that_is_nested_without_end_is_named(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    file.write_text(f"a = {'[' * 100_000}")
    with pytest.raises(SettingsError, match=r"deep\.toml is not valid TOML"):
        load_settings(file)


def test_the_overlay_is_found_beside_the_workspace_or_by_variable_or_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / OVERLAY_NAME).write_text("[tags]\nmax_tags = 11", encoding="utf-8")
    assert load_settings().tags.max_tags == 11
    named = overlay(tmp_path, "[tags]\nmax_tags = 12")
    monkeypatch.setenv(OVERLAY_VARIABLE, str(named))
    assert load_settings().tags.max_tags == 12
    given = tmp_path / "given.toml"
    given.write_text("[tags]\nmax_tags = 13", encoding="utf-8")
    assert load_settings(given).tags.max_tags == 13
    assert load_settings(given, tags__max_tags=14).tags.max_tags == 14


def test_a_section_hash_changes_with_its_sections_alone(tmp_path: Path) -> None:
    defaults = load_settings()
    changed = load_settings(crops__head_min_side_px=128)
    for name in Settings.model_fields:
        assert (defaults.section_hash(name) == changed.section_hash(name)) == (name != "crops")
    assert defaults.section_hash("crops", "tags") != changed.section_hash("crops", "tags")
    assert defaults.section_hash("tags", "crops") == defaults.section_hash("crops", "tags")
    assert len({defaults.section_hash(name) for name in Settings.model_fields}) == len(Settings.model_fields)
    assert len(defaults.section_hash("crops")) == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sr_selection__amount": 120.0}, "sr_selection.amount = 120 is no percentile"),
        ({"selection__amount": 120.0}, "selection.amount = 120 is no percentile"),
        ({"sr_selection__by": "score"}, 'sr_selection.by = "score" needs a metric that is named'),
        ({"sr_selection__metric": "sharpnes"}, "sr_selection.metric = 'sharpnes' is no .* known: quality, .*hyperiqa"),
        ({"selection__metric": "sharpness"}, "selection.metric = 'sharpness' is no metric that is known: hyperiqa, "),
        ({"models__quality": "beauty"}, "models.quality = 'beauty' is no metric that is known: hyperiqa, "),
        ({"models__quality": "qalign"}, "models.quality = 'qalign' is not served: .* set .*"),
        ({"sr_selection__strata": ["crop"]}, 'sr_selection.strata has "crop", and sr_sources.of = "keyframes"'),
        ({"selection__strata": ["query"]}, "selection.queries is empty: name some"),
        ({"selection__queries": [{"name": "x", "query": "night"}]}, 'selection.strata lacks "query": add it'),
        ({"sr_selection__by": "count", "sr_selection__amount": -1.0}, "sr_selection.amount = -1 is no count"),
        ({"sr_tiles__tile_px": 130}, "sr_tiles.tile_px = 130 does not divide by 4"),
        ({"sr_sources__excluded": "/nowhere/at/all"}, "there is no folder"),
        ({"sr_set__recipe": [{"kind": "h264", "low": 20.0, "high": 30.0}]}, "the step downscale, once and always"),
        ({"sr_set__recipe": [{"kind": "jpeg", "quality": 3}]}, r"sr_set\.recipe\.0\.quality = 3: unknown key"),
    ],
)
def test_settings_of_super_resolution_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(DEFAULTS, **changes)


def test_sets_are_of_the_shows_and_episodes_that_are_named() -> None:
    there = ["a.one", "a.two", "b.one"]
    for named, expected in (([], there), (["a"], ["a.one", "a.two"]), (["b.one", "a.two"], ["a.two", "b.one"])):
        assert load_settings(DEFAULTS, super_resolution__episodes=named).super_resolution.of(there) == expected
    with pytest.raises(SettingsError, match=r"names 'c', and there is no such"):
        load_settings(DEFAULTS, super_resolution__episodes=["a", "c"]).super_resolution.of(there)


def test_of_excluded_pictures_their_content_counts_and_not_their_place(tmp_path: Path) -> None:
    hashes = []
    for name, content in (("one", b"a"), ("other", b"a"), ("third", b"b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(content)
        settings = load_settings(DEFAULTS, sr_sources__excluded=str(tmp_path / name))
        hashes.append(settings.section_hash("sr_sources"))
    assert hashes[0] == hashes[1] != hashes[2]
    assert load_settings(DEFAULTS).section_hash("sr_sources") not in hashes


# Whoever changes one of these makes the tables of all its readers stale in every store there is.
HASHES = {
    "video": "23ceaaa21ee7",
    "shots": "fd286329bac5",
    "tracks": "405904eb5eb7",
    "keyframes": "ef86e3527e7b",
    "alignments": "f4368484861b",
    "panoramas": "64ee5feb538b",
    "backdrops": "0d8ea1d07dc7",
    "frame_defects": "a8a2e3d07226",
    "distinct_frames": "66df70c07a33",
    "repeated_frames": "04de11494274",
    "detections": "fc55b6780cce",
    "crops": "61e18941ede6",
    "details": "57e74f216246",
    "crop_embeddings": "1a875f0334c7",
    "character_gallery": "80370654a67f",
    "clusters": "630f51ea4c86",
    "references": "e7d1814bdbb5",
    "named_characters": "2c25af2430be",
    "quality_scores": "003904601534",
    "tag_scores": "0e360eef9689",
    "text_lines": "d72b7c1879f2",
    "burnt_in_text": "3db3a8f3d70b",
    "tag_thresholds": "c33fdd248dbb",
    "core_tags": "9c93b28b3fe8",
    "people": "2fe830b6fb79",
    "tags": "62022076dbd2",
    "selection": "1a7f5ba73565",
    "descriptions": "eab489ba3a98",
    "captions": "34e4f895699e",
    "training_images": "220c5ec5419b",
    "concept_balance": "b33974e67015",
    "training_set": "a71b4160acda",
    "clips": "762d2a279e25",
    "training_clips": "f1980eabe415",
    "exported_set": "52ce7b3fa4f1",
    "super_resolution": "c013d859c5c0",
    "sr_sequences": "97a3fe65aae6",
    "release_alignment": "c206e3c873ae",
    "release_pairs": "39a7e1a76bcd",
    "sr_sources": "7143f8a07634",
    "sr_tiles": "93e97ca3c869",
    "sr_selection": "5357ac60f1f3",
    "sr_set": "debe24567798",
    "regularization": "6ef4162f724f",
    "generator": "72ad7ea1409b",
    "regularization_selection": "046d5ed278dd",
    "regularization_regions": "d410b60a25db",
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, r"sr_set.scales = \[2, 4\]: pairs of releases have the one scale .* set sr_set.scales = \[2\]"),
        ({"sr_set__scales": [2], "sr_tiles__step_px": 95}, "sr_tiles.step_px = 95 does not divide by 2"),
        ({"sr_set__scales": [2], "sr_set__recipe": [{"kind": "downscale"}]}, "sr_set.recipe would do nothing"),
        ({"sr_set__scales": [2], "release_alignment__pairs": [["a.e1"]]}, "release_alignment.pairs.0"),
    ],
)
def test_settings_that_pairs_of_releases_cannot_follow_are_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings(sr_sources__of="releases", **changes)


def test_the_defaults_hash_as_they_did_so_that_no_store_becomes_stale() -> None:
    defaults = load_settings(DEFAULTS)
    assert {name: defaults.section_hash(name) for name in HASHES} == HASHES


def test_frames_decoded_whole_count_only_in_modes_that_look_at_every_frame() -> None:
    defaults = load_settings(DEFAULTS)
    assert defaults.section_hash("shots", "frame_pass") == defaults.section_hash("shots")
    dense = [load_settings(DEFAULTS, keyframes__mode=mode) for mode in ("mpdecimate", "interval", "shot")]
    (of_all,) = {settings.section_hash("shots", "frame_pass") for settings in dense}
    assert of_all != defaults.section_hash("shots")


class Place(Section):
    root: str
    shade: int
    cache: Annotated[str, NO_RESULT] = ""


class MadeUp(Section):
    root: str = "here"
    folder: Annotated[str, NO_RESULT] = "there"
    places: list[Place] = Field(default_factory=list)
    by_name: dict[str, Place] = Field(default_factory=dict)
    one: Place | None = None


class WithMadeUp(Settings):
    made_up: MadeUp


def made_up(**values) -> str:
    settings = WithMadeUp.model_validate(load_settings(DEFAULTS).model_dump() | {"made_up": values})
    return settings.section_hash("made_up")


def test_a_field_counts_for_a_version_whatever_it_is_called_unless_it_is_marked() -> None:
    assert made_up(root="elsewhere") != made_up()
    assert made_up(folder="elsewhere") == made_up()


@pytest.mark.parametrize(
    "nested", [lambda it: {"places": [it]}, lambda it: {"by_name": {"a": it}}, lambda it: {"one": it}]
)
def test_marks_hold_in_tables_inside_of_a_section(nested) -> None:
    place = {"root": "a", "shade": 1, "cache": "b"}
    assert made_up(**nested(place | {"root": "c"})) != made_up(**nested(place))
    assert made_up(**nested(place | {"cache": "c"})) == made_up(**nested(place))


def test_what_counts_is_written_down_with_the_files_of_a_section_and_without_what_is_marked() -> None:
    settings = load_settings(DEFAULTS)
    assert settings.video.counted() == {}
    assert settings.tag_rules.counted() == {"content": settings.tag_rules.content()}
    assert settings.exported_set.counted() == {"profile": settings.exported_set.profile}
    assert settings.exported_set.model_dump().keys() == {"profile", "root"}


def test_equal_values_written_differently_hash_alike(tmp_path: Path) -> None:
    whole = load_settings(overlay(tmp_path, "[selection]\nmin_quality = 1"))
    decimal = load_settings(overlay(tmp_path, "[selection]\nmin_quality = 1.0"))
    assert whole.section_hash("selection") == decimal.section_hash("selection")


def test_settings_cannot_be_changed_once_loaded() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().tags.max_tags = 3


def test_crop_rules_are_looked_up_by_kind() -> None:
    crops = load_settings().crops
    assert (crops.min_score("head"), crops.min_side_px("head"), crops.scale("head")) == (0.4, 96, 1.5)
    assert crops.scale("person") is None


@pytest.mark.parametrize("setting", ["store__root", "exported_set__root"])
@pytest.mark.parametrize("root", ["{pak}/x", "{pack}/{}", "data/{pack"])
def test_only_the_pack_may_stand_in_braces_of_a_root(setting, root):
    with pytest.raises(SettingsError, match=r"root = '.*': .*only \{pack\} may stand in braces"):
        load_settings(**dict[str, Any]({setting: root}))
    assert load_settings(**dict[str, Any]({setting: "data/{pack}/x"}))


def test_in_a_cluster_its_workers_bring_the_project_up_to_date() -> None:
    cluster = {"cluster__broker": "redis://head:6379/0", "cluster__database": "postgresql://me:word@head:5432/show"}
    assert load_settings().run_command == "dataset-pipeline run"
    assert load_settings(**cluster).run_command == "dataset-pipeline run --submit"
