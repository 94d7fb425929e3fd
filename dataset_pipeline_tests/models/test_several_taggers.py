"""Several taggers at once: the mean of those whose lists have the tag."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.models import Identity, ModelPack, RegistryError, Tagger, WeightsMissing, load_registry, loading
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.settings import load_settings
from dataset_pipeline_tests.models.conftest import pooled_file, put

ONE, OTHER = "wd-swinv2-tagger-v3", "wd-vit-tagger-v3"
# Beside that of `onnx_pack`: one tag spelled with a space, one of its own, and one that has another category.
OTHER_LIST = "name,category\nexplicit,9\nhat,0\n1girl,0\nlong hair,0\nrem_(re:zero),0\n"


@pytest.fixture(scope="module")
def two_taggers(onnx_pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two") / "pack"
    shutil.copytree(onnx_pack, root)
    files = load_registry().models[OTHER].files
    put(root, str(files["model"][0]), pooled_file(9, 448, "nhwc", 5, batch=1))
    put(root, str(files["tags"][0]), OTHER_LIST.encode())
    return root


def tagger(root: Path, *models: str, **more) -> Tagger:
    return Tagger(cache=str(root), device="cpu", models=list(models), batch_size=3, **more)


def test_a_probability_is_the_mean_of_the_taggers_that_know_the_tag(two_taggers: Path, pictures: list[np.ndarray]):
    one, other = (tagger(two_taggers, name).tag(pictures) for name in (ONE, OTHER))
    loading.reset_calls()
    both = tagger(two_taggers, ONE, OTHER).tag(iter(pictures))
    assert both.tags == (*one.tags, "hat")
    assert both.categories == (*one.categories, "general")
    assert both.scores.dtype == np.float32
    theirs = {tag.replace(" ", "_"): other.scores[:, at] for at, tag in enumerate(other.tags)}
    for at, tag in enumerate(both.tags):
        known = [one.scores[:, at]] if tag in one.tags else []
        known += [theirs[tag]] if tag in theirs else []
        np.testing.assert_allclose(both.scores[:, at], np.mean(known, axis=0), atol=1e-7, err_msg=tag)
    assert len([tag for tag in one.tags if tag in theirs]) == 4
    assert loading.CALLS == {"tagger.pictures": 14, "tagger.runs": 3 + 7}  # the other takes one picture a run


def test_the_order_of_taggers_changes_spellings_and_no_probability(two_taggers: Path, pictures: list[np.ndarray]):
    ours, theirs = tagger(two_taggers, ONE, OTHER).tag(pictures), tagger(two_taggers, OTHER, ONE).tag(pictures)
    assert theirs.tags == ("explicit", "hat", "1girl", "long hair", "rem_(re:zero)", "general", "null")
    places = [[tag.replace("_", " ") for tag in theirs.tags].index(tag.replace("_", " ")) for tag in ours.tags]
    np.testing.assert_array_equal(theirs.scores[:, places], ours.scores)


def test_one_tagger_that_is_named_answers_bit_for_bit_as_the_packs(onnx_pack: Path, pictures: list[np.ndarray]):
    named, of_pack = tagger(onnx_pack, ONE), tagger(onnx_pack)
    assert named.fingerprint() == of_pack.fingerprint()
    assert named.tag(pictures).scores.tobytes() == of_pack.tag(pictures).scores.tobytes()


def test_the_fingerprint_names_every_tagger_with_its_files(two_taggers: Path):
    one, other, both = (tagger(two_taggers, *names).fingerprint() for names in ((ONE,), (OTHER,), (ONE, OTHER)))
    assert both.model == f"{ONE}+{OTHER}"
    assert both.files == {**one.files, **other.files}
    assert len({one.sha256, other.sha256, both.sha256}) == 3


def test_several_taggers_count_as_one_loaded_model_and_load_nothing_for_no_picture(
    two_taggers: Path, pictures: list[np.ndarray]
):
    both = tagger(two_taggers, ONE, OTHER, keep_loaded=2)
    assert both.tag([]).scores.shape == (0, 7)
    assert loading.loaded_keys() == []
    Identity(cache=str(two_taggers), device="cpu", keep_loaded=2).embed(pictures[:1])
    both.tag(pictures[:1])
    assert [key[0] for key in loading.loaded_keys()] == ["identity", "tagger"]


def test_a_list_that_is_another_networks_is_named_whichever_tagger_has_it(
    two_taggers: Path, pictures: list[np.ndarray], tmp_path: Path
):
    shutil.copytree(two_taggers, tmp_path / "pack")
    pack = ModelPack.open("real", tmp_path / "pack", {"tagger": [ONE, OTHER]})
    path = pack.file(pack.models("tagger")[1], "tags")
    path.write_text(OTHER_LIST + "dog,0\n")
    with pytest.raises(ValueError, match="gives 5 scores, but its list has 6 tags"):
        tagger(tmp_path / "pack", ONE, OTHER).tag(pictures)


def test_a_list_of_taggers_in_the_settings_and_what_is_wrong_with_one(onnx_pack: Path):
    def named(*names: str) -> Tagger:
        return model_resources(load_settings(models__cache=str(onnx_pack), models__tagger=list(names)))["tagger"]

    assert named(ONE).fingerprint() == named().fingerprint() == tagger(onnx_pack).fingerprint()
    with pytest.raises(WeightsMissing, match=rf"the tagger '{OTHER}' .* models pull"):
        named(ONE, OTHER).fingerprint()
    with pytest.raises(RegistryError, match=rf"'{ONE}' is named twice under \[models\] tagger"):
        named(ONE, ONE).fingerprint()
    with pytest.raises(RegistryError, match="no tagger named 'wd-vit'"):
        named("wd-vit").fingerprint()


def test_a_pack_may_name_several_taggers_too(tmp_path: Path):
    text = load_registry().source.read_text("utf-8").replace(f'tagger = "{ONE}"', f'tagger = ["{ONE}", "{OTHER}"]')
    (tmp_path / "models.toml").write_text(text)
    pack = ModelPack.open("real", registry=load_registry(tmp_path / "models.toml"))
    assert pack.roles["tagger"] == (ONE, OTHER)
