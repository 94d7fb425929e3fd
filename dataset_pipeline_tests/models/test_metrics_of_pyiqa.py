"""Every metric that models.toml names is loaded from files as pyiqa writes them, with random numbers in them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset_pipeline.models import QualityMetric, RegistryError, loading, quality
from dataset_pipeline.models.device import Device
from dataset_pipeline.models.registry import HubFile, ModelEntry, ModelPack, load_registry
from dataset_pipeline_tests.models.conftest import put

METRICS = {name: entry for name, entry in load_registry().models.items() if entry.role == "quality"}
REFUSED = load_registry().refused_metrics
# One of each network; the others are the same with another file. Those of a minute and more run where that is wanted.
LIGHT = (
    "topiq_nr", "dbcnn", "arniqa", "musiq", "nima", "paq2piq", "metaiqa", "unique", "wadiqam_nr", "niqe",
    "niqe_matlab", "brisque", "brisque_matlab", "cnniqa", "hyperiqa",
)  # fmt: skip
HEAVY = (
    "topiq_iaa", "topiq_iaa_res50", "maniqa", "tres", "liqe", "liqe_mix", "qualiclip", "qualiclip+", "musiq-ava",
    "nima-koniq", "nima-vgg16-ava", "uranker", "ilniqe", "nrqm", "pi",
)  # fmt: skip
EVERY = "DATASET_PIPELINE_EVERY_METRIC"  # set in the environment, the heavy ones run too
NETWORKS = LIGHT + (HEAVY if os.environ.get(EVERY) else ())


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*arguments: object) -> None:
        raise AssertionError(f"a connection was opened: {arguments}")

    monkeypatch.setattr("socket.socket.connect", no_network)


def of_pyiqa() -> dict[str, dict[str, Any]]:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return {name: config for name, config in DEFAULT_CONFIGS.items() if config["metric_mode"] == "NR"}


def test_every_metric_without_a_reference_that_pyiqa_has_is_served_or_refused_with_what_to_do():
    served = Counter(entry.metric for entry in METRICS.values())
    assert set(served) | set(REFUSED) == set(of_pyiqa())
    assert not set(served) & set(REFUSED)
    assert all(name == entry.metric for name, entry in METRICS.items())
    for name, reason in REFUSED.items():
        assert any(other in METRICS for other in reason.replace(",", " ").split()), name
        with pytest.raises(RegistryError, match="is not served: "):
            ModelPack.open("real", overrides={"quality": name})


def test_files_bear_the_names_that_pyiqa_asks_for():
    import pyiqa

    sources = (Path(pyiqa.__file__).parent / "archs").glob("*_arch.py")
    named = " ".join(path.read_text("utf-8") for path in sources)
    for entry in METRICS.values():
        for [file] in entry.files.values():
            assert f"'{Path(file.path).name}'" in named, entry.name


def test_a_file_that_pyiqa_asks_for_and_models_toml_does_not_name_is_told():
    entry = METRICS["niqe"]
    with pytest.raises(
        RegistryError, match=r"takes niqe_modelparameters\.mat, which \[models\.niqe\].*are: other\.mat"
    ):
        quality._load(entry, {"other.mat": Path("other.mat")}, Device("cpu"))


def test_what_replaces_pyiqas_downloads_is_put_back(tmp_path: Path):
    import torchvision
    from pyiqa.archs import liqe_arch, niqe_arch
    from timm.models import _builder

    def now() -> list[Any]:
        return [
            torch.nn.Module.load_state_dict, torchvision.models.WeightsEnum.get_state_dict, _builder.load_pretrained,
            niqe_arch.load_file_from_url, liqe_arch.load, liqe_arch.DEFAULT_CACHE_DIR,
            torch.hub.load_state_dict_from_url,
        ]  # fmt: skip

    before = now()
    with pytest.raises(RegistryError):
        quality._load(METRICS["niqe"], {}, Device("cpu"))
    assert now() == before


@pytest.mark.thorough
@pytest.mark.parametrize("name", NETWORKS)
def test_a_metric_is_loaded_from_its_files_and_answers_for_one_and_many_alike(name: str, tmp_path: Path):
    entry = METRICS[name]
    written = Writer(entry, tmp_path).write()
    metric = QualityMetric(cache=str(tmp_path), device="cpu", model=name, batch_size=2, short_side_px=240)
    pictures = drawn()
    scores = metric.score(pictures)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[:1], metric.score(pictures[:1]), rtol=1e-3, atol=1e-4)
    assert set(written) == {Path(file.path).name for [file] in entry.files.values()}
    if name == "brisque_matlab":  # random support vectors lie so far from every picture that none of them counts
        return
    loading.unload_all()
    again = Writer(entry, tmp_path, seed=1).write()
    assert set(again) == set(written)
    assert not np.allclose(metric.score(pictures), scores, rtol=1e-4, atol=1e-5), "its numbers are not the file's"


@pytest.mark.thorough
def test_clip_of_ones_own_repository_serves_clipiqa_and_without_it_nothing_is_made_up(tmp_path: Path):
    told = {"role": "quality", "metric": "clipiqa", "purpose": "", "licence": "", "size_mb": 1}
    entry = ModelEntry.model_validate(told | {"name": "mine", "files": {"clip": "me/mine/RN50.pt"}})
    with pytest.raises(RegistryError, match="do not fill all of pyiqa's 'clipiqa': name the file of its backbone"):
        quality._load(entry, {}, Device("cpu"))
    path = tmp_path / "RN50.pt"
    torch.jit.save(torch.jit.script(Archive(random_clip("RN50"))), path)
    model = quality._load(entry, {"RN50.pt": path}, Device("cpu"))
    [score] = model(torch.rand(1, 3, 256, 256)).flatten().tolist()
    assert 0 <= score <= 1


def drawn() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    smooth = np.linspace(30, 220, 288 * 320 * 3).reshape(288, 320, 3)
    noise = rng.integers(0, 256, (288, 320, 3))
    return [it.astype(np.uint8) for it in (noise, (smooth + noise) / 2)]


class Archive(torch.nn.Module):
    """OpenAI's archives are scripted networks of which pyiqa reads nothing but the weights."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in weights.items():
            owner: torch.nn.Module = self
            *above, last = name.split(".")
            for part in above:
                if part not in owner._modules:
                    owner.add_module(part, torch.nn.Module())
                owner = owner._modules[part]  # pyright: ignore[reportAssignmentType]
            owner.register_buffer(last, tensor)

    def forward(self) -> int:
        return 0


def random_clip(name: str) -> dict[str, torch.Tensor]:
    from pyiqa.archs.clip_model import CLIP

    from dataset_pipeline.models.pyiqa_files import _CLIP

    return CLIP(*_CLIP[name]).state_dict()


class Writer:
    """Writes the files of a metric with random numbers, each in the form in which pyiqa reads it."""

    def __init__(self, entry: ModelEntry, cache: Path, seed: int = 0) -> None:
        self.entry, self.cache = entry, cache
        self.by_name = {Path(file.path).name: file for [file] in entry.files.values() if isinstance(file, HubFile)}
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def write(self) -> list[str]:
        for name, content in self.contents():
            path = put(self.cache, str(self.by_name[name]), b"")
            if name.endswith(".mat"):
                import scipy.io

                scipy.io.savemat(path, content)
            elif isinstance(content, torch.jit.ScriptModule):
                torch.jit.save(content, path)
            else:
                torch.save(content, path)
        return list(self.by_name)

    def contents(self) -> Iterator[tuple[str, Any]]:
        """Of files that are more than one network's state, by hand; of the others as pyiqa asks for them."""
        by_hand = {
            "niqe_modelparameters.mat": lambda: self.natural("mu_prisparam", "cov_prisparam"),
            "niqe_matlab_params.mat": lambda: self.natural("mu_prisparam", "cov_prisparam"),
            "ILNIQE_templateModel.mat": self.ilniqe,
            "brisque_svm_weights.pth": lambda: (self.normal(40, 1), self.normal(40, 36)),
            "brisque_matlab.mat": lambda: {"sv": self.rng.normal(size=(40, 36)), "sv_coef": self.rng.normal(size=40)},
            "NRQM_model.mat": self.nrqm,
            "QualiCLIP.pth": self.qualiclip,
            "ARNIQA.pth": self.encoder,
            "Metaiqa_livec.pth": self.metaiqa,
        }
        for name in self.by_name:
            if name in by_hand:
                yield name, by_hand[name]()
            elif name.startswith("regressor_"):
                yield name, torch.jit.script(torch.nn.Linear(4096, 1))
        if left := self.by_name.keys() - by_hand.keys() - {it for it in self.by_name if it.startswith("regressor_")}:
            recorded = dict(self.as_asked_for())
            yield from ((name, recorded[name]) for name in sorted(left))

    def as_asked_for(self) -> Iterator[tuple[str, Any]]:
        """What pyiqa would load into which network, with the random numbers that the network was made with."""
        import sys

        import pyiqa
        from pyiqa.archs import _lazy_import_arch, arch_util

        _lazy_import_arch(of_pyiqa()[self.entry.metric]["metric_opts"]["type"])
        found: dict[str, Any] = {}

        def record(net: torch.nn.Module, url: str, strict: bool = True, weight_keys: str | None = None) -> None:
            settle(net)
            state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
            found[url.rsplit("/", 1)[-1].replace("%2B", "+")] = {weight_keys: state} if weight_keys else state

        with pytest.MonkeyPatch.context() as patched:
            real, fetch = arch_util.load_pretrained_network, arch_util.load_file_from_url
            for module in [it for name, it in sys.modules.items() if name.startswith("pyiqa.")]:
                if vars(module).get("load_pretrained_network") is real:
                    patched.setattr(module, "load_pretrained_network", record)
                if "load" in vars(module) and hasattr(module, "clip"):
                    patched.setattr(module, "load", lambda name, *_: clip_of(name))
                if vars(module).get("load_file_from_url") is fetch:
                    patched.setattr(module, "load_file_from_url", self.beside)
                if "DEFAULT_CACHE_DIR" in vars(module):
                    patched.setattr(module, "DEFAULT_CACHE_DIR", str(self.cache))
            patched.setattr("timm.models._builder.load_pretrained", lambda *_, **__: None)
            for network in ("resnet18", "resnet34", "resnet50", "vgg16"):
                made = getattr(torch_models(), network)
                patched.setattr(torch_models(), network, lambda *_, made=made, **__: made())
            pyiqa.create_metric(self.entry.metric, device=torch.device("cpu"))
        yield from found.items()

    def beside(self, url: str, *_: Any, **__: Any) -> str:
        path = self.cache / "made" / url.rsplit("/", 1)[-1]
        path.parent.mkdir(exist_ok=True)
        torch.save(self.qualiclip(), path)
        return str(path)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(self.rng.normal(size=shape))

    def natural(self, mean: str, covariance: str) -> dict[str, np.ndarray]:
        root = self.rng.normal(size=(36, 36))
        return {mean: self.rng.normal(size=(1, 36)), covariance: root @ root.T}

    def ilniqe(self) -> dict[str, Any]:
        model = np.empty((1, 4), object)
        root = self.rng.normal(size=(430, 430))
        principal = self.rng.normal(size=(468, 430))
        for at, part in enumerate(
            (self.rng.normal(size=(1, 430)), root @ root.T, self.rng.normal(size=468), principal)
        ):
            model[0, at] = part
        return {"templateModel": model}

    def nrqm(self) -> dict[str, Any]:
        """Forests of three trees of one question, with leaves on both sides, over the first features of each kind."""
        forests = np.empty((1, 3), object)
        for at in range(3):
            parts = np.empty((7,), object)
            shape = (3, 3)  # nodes, trees
            left, right = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
            left[0], right[0] = 2, 3
            parts[0], parts[1], parts[2], parts[3] = left, right, 0, 0
            parts[4], parts[5] = self.rng.normal(size=shape), self.rng.normal(size=shape)
            parts[6] = self.rng.integers(1, 9, shape)
            forests[0, at] = {f"part{number}": part for number, part in enumerate(parts)}
        return {"model": {"linear": self.rng.normal(size=(4, 1)), "rf": forests}}

    def qualiclip(self) -> dict[str, torch.Tensor]:
        state = {f"clip_model.{name}": tensor for name, tensor in random_clip("RN50").items()}
        features = torch.nn.functional.normalize(self.normal(14, 1024).float())
        return state | {"prompts_features": features}

    def encoder(self) -> dict[str, torch.Tensor]:
        network = torch.nn.Sequential(*list(torch_models().resnet50().children())[:-1])
        return {f"model.{name}": tensor for name, tensor in network.state_dict().items()}

    def metaiqa(self) -> dict[str, torch.Tensor]:
        from pyiqa.archs.metaiqa_arch import MetaIQA

        network = MetaIQA(pretrained=False)
        return {name.replace("head.", "net."): tensor for name, tensor in network.state_dict().items()}


def clip_of(name: str) -> Any:
    from pyiqa.archs.clip_model import CLIP

    from dataset_pipeline.models.pyiqa_files import _CLIP

    return CLIP(*_CLIP[name]).eval()


def torch_models() -> Any:
    import torchvision

    return torchvision.models


def settle(net: torch.nn.Module) -> None:
    """No number of a random network may be as it was made: layers that begin at 0 or 1 would pass for filled."""
    for name, tensor in net.state_dict().items():
        if not tensor.is_floating_point() or tensor.numel() < 2 or "running_var" in name:
            continue
        if float(tensor.float().std()) == 0 or not bool(torch.isfinite(tensor).all()):
            tensor.copy_(torch.nan_to_num(tensor) + torch.randn_like(tensor) * 0.02)
