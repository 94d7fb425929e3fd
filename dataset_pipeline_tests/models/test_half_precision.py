from __future__ import annotations

import numpy as np
import pytest
import torch

from dataset_pipeline.models.device import Device
from dataset_pipeline.models.exported_metric import probe
from dataset_pipeline.models.half_precision import TOLERANCE, HalfMetric, halved

CPU = Device("cpu")


class Metric(torch.nn.Module):
    """A score of each picture in about 0..1, `scale` times a small number that is said in 32 bits afterwards."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.look, self.judge, self.scale = torch.nn.Conv2d(3, 8, 7, 4), torch.nn.Linear(8, 1), scale
        self.seen: list[torch.dtype] = []

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        looks = torch.relu(self.look(pictures))
        self.seen.append(looks.dtype)
        return torch.sigmoid(self.scale * self.judge(looks.mean((2, 3))).float())


def test_a_metric_runs_in_16_bits_where_its_scores_stay_within_the_bound():
    metric = Metric(1.0).eval()
    found = halved(metric, CPU)
    assert isinstance(found, HalfMetric)
    pictures = torch.rand(3, 3, 64, 48)
    with torch.inference_mode():
        expected = metric(pictures)
    metric.seen.clear()
    scores = found(pictures)
    assert metric.seen == [torch.float16]
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), expected.numpy(), atol=TOLERANCE)
    assert not np.array_equal(scores.numpy(), expected.numpy())


class Steep(Metric):
    """Falls from 1 to 0 around the score `middle` of the trial picture."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.middle = 0.0
        with torch.inference_mode():
            self.middle = float(self.raw(torch.from_numpy(probe())[None]))

    def raw(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.judge(self.look(pictures).mean((2, 3))).float() - self.middle

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.scale * self.raw(pictures))


@pytest.mark.parametrize("scale", [3000.0, float("nan")])
def test_a_metric_whose_scores_would_move_stays_as_it_is(scale: float):
    metric = Steep(scale).eval()
    assert halved(metric, CPU) is metric


class Spilling(torch.nn.Module):
    """The mean level of each picture, by way of `most` times it: beyond 65504 no number of 16 bits."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.sum, self.most = torch.nn.Linear(3, 1, bias=False), most
        torch.nn.init.constant_(self.sum.weight, most / 3)
        self.seen: list[tuple[int, torch.dtype]] = []

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        sums = self.sum(pictures.mean((2, 3)))
        self.seen.append((len(pictures), sums.dtype))
        return sums.float() / self.most


def test_a_picture_whose_answer_in_16_bits_is_not_finite_is_asked_again_in_32():
    metric = Spilling(1e5)
    pictures = torch.tensor([0.25, 0.9, 0.5])[:, None, None, None].expand(3, 3, 8, 8)
    scores = HalfMetric(metric, CPU)(pictures)
    assert metric.seen == [(3, torch.float16), (1, torch.float32)]
    np.testing.assert_allclose(scores.numpy(), [[0.25], [0.9], [0.5]], atol=TOLERANCE)


def test_a_metric_that_has_no_finite_answer_in_16_bits_stays_as_it_is():
    metric = Spilling(3e6)
    assert halved(metric, CPU) is metric
