from __future__ import annotations

import importlib.metadata
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dataset_pipeline.models import exported_metric
from dataset_pipeline.models.exported_metric import ExportedMetric, crops_of, exported, open_metric

SHA = "ab" * 32


class Small(torch.nn.Module):
    """A network that judges crops as hyperIQA's does, in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        flat = torch.nn.Flatten()
        layers = (torch.nn.Conv2d(3, 4, 7, 7), torch.nn.BatchNorm2d(4), torch.nn.AvgPool2d(8), flat)
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(64, 1))

    def forward_patch(self, crops: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layers(crops))


class TiedToABatch(Small):
    """What is traced holds the number of crops that it was traced with."""

    def forward_patch(self, crops: torch.Tensor) -> torch.Tensor:
        return super().forward_patch(crops) / float(len(crops))


def loaded(net: torch.nn.Module) -> Any:
    """How a metric of this network is loaded, and how often that was asked for."""

    def load() -> Any:
        load.times += 1
        return SimpleNamespace(net=net.eval())

    load.times = 0
    return load


def by_pyiqa(net: torch.nn.Module, pictures: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return net.eval().forward_patch(crops_of(pictures)).reshape(len(pictures), 25).mean(1).numpy()


@pytest.mark.parametrize("size", [(300, 400), (224, 500), (90, 120)])
def test_a_network_is_exported_once_and_answers_for_one_picture_and_many_as_it_did(
    size: tuple[int, int], tmp_path: Path
):
    torch.manual_seed(0)
    brightness = torch.tensor([0.2, 0.6, 1.0]).reshape(3, 1, 1, 1)
    load, pictures = loaded(Small()), torch.rand(3, 3, *size) * brightness
    expected = by_pyiqa(load().net, pictures)
    for _ in range(2):
        metric = open_metric(load, SHA, [tmp_path])
        assert isinstance(metric, ExportedMetric)
        np.testing.assert_allclose(metric(pictures), expected, atol=1e-6)
        np.testing.assert_allclose(metric(pictures[1:2]), expected[1:2], atol=1e-6)
    assert load.times == 2
    assert expected.std() > 1e-3
    assert len(list(tmp_path.iterdir())) == 1


def test_other_weights_another_cpu_and_another_export_have_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for sha256 in (SHA, "cd" * 32):
        open_metric(loaded(Small()), sha256, [tmp_path])
    assert len(list(tmp_path.iterdir())) == 2
    names = {exported_metric._versions()}
    monkeypatch.setattr(exported_metric.platform, "machine", lambda: "abacus")
    names.add(exported_metric._versions())
    monkeypatch.setattr(exported_metric, "EXPORT", exported_metric.EXPORT + 1)
    names.add(exported_metric._versions())
    assert len(names) == 3


@pytest.mark.parametrize("changed", ["weights", "version"])
def test_other_weights_or_another_version_are_exported_and_compared_with_pyiqa_anew(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    compared: list[Any] = []
    compare = exported_metric.difference
    monkeypatch.setattr(exported_metric, "difference", lambda *its: compared.append(its) or compare(*its))
    torch.manual_seed(0)
    before, after = loaded(Small()), loaded(Small())
    for load in (before, before):
        open_metric(load, SHA, [tmp_path])
    assert (before.times, len(compared)) == (1, 1), "the same is compared once"
    if changed == "version":
        version = importlib.metadata.version
        monkeypatch.setattr("importlib.metadata.version", lambda name: "99" if name == "pyiqa" else version(name))
    metric = open_metric(after, "cd" * 32 if changed == "weights" else SHA, [tmp_path])
    assert (after.times, len(compared)) == (1, 2)
    pictures = torch.rand(2, 3, 300, 400)
    np.testing.assert_allclose(metric(pictures), by_pyiqa(after().net, pictures), atol=1e-6)


def test_where_the_exported_network_answers_otherwise_pyiqas_own_is_used_and_the_reason_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    load = loaded(TiedToABatch())
    metric = open_metric(load, SHA, [tmp_path])
    assert metric.net is load().net
    assert "runs through pyiqa, which is slower: the exported network's answers differ" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_gives_no_numbers_or_cannot_be_exported_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    broken = Small()
    torch.nn.init.constant_(broken.layers[0].weight, float("nan"))
    assert not isinstance(open_metric(loaded(broken), SHA, [tmp_path]), ExportedMetric)
    assert "differ from those of pyiqa by up to nan" in caplog.text
    assert not isinstance(open_metric(loaded(torch.nn.Identity()), SHA, [tmp_path]), ExportedMetric)
    assert "could not be exported ('Identity' object has no attribute 'forward_patch')" in caplog.text


def test_a_folder_that_cannot_be_written_is_passed_over_and_without_any_each_process_exports(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    taken = tmp_path / "file"
    taken.write_bytes(b"")
    folders = [taken / "read-only", tmp_path / "cache"]
    assert isinstance(open_metric(loaded(Small()), SHA, folders), ExportedMetric)
    assert [path.parent for path in tmp_path.rglob("*.onnx")] == [tmp_path / "cache"]
    assert isinstance(open_metric(loaded(Small()), SHA, folders[:1]), ExportedMetric)
    assert "exported by each process again" in caplog.text


def test_a_damaged_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    load = loaded(Small())
    open_metric(load, SHA, [tmp_path])
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    with caplog.at_level(logging.WARNING):
        assert isinstance(open_metric(load, SHA, [tmp_path]), ExportedMetric)
    assert f"{path} is damaged and is made again" in caplog.text
    assert len(path.read_bytes()) == len(whole)
    assert load.times == 2


def test_an_export_that_runs_out_of_memory_is_no_reason_to_go_on(tmp_path: Path):
    class Full(Small):
        def forward_patch(self, crops: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        open_metric(loaded(Full()), SHA, [tmp_path])


def test_the_wrapper_leaves_the_network_in_the_mode_for_answers():
    net = Small().eval()
    exported(net)
    assert not any(module.training for module in net.modules())
