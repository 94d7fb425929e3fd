"""Networks of the real models' shapes with random weights, under the real files' names: what they cost is true, what
they answer is not.

    uv run python dataset_pipeline_tests/benchmarks/real_size_pack.py FOLDER

writes a cache that `[models] cache = "FOLDER"` reads as the pack `real`. Same seed, same bytes. Shapes: YOLOv8 m and s
(Jocher et al. 2023; width, depth and channels as its two published sizes have them), CAFormer-S36 (Yu et al. 2022) for
CCIP, SwinV2-B at 448 px (Liu et al. 2022) for the tagger, ViT-B/32 (Radford et al. 2021), HyperIQA on ResNet-50 (Su et
al. 2020).
"""

from __future__ import annotations

import argparse
import csv
import functools
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.demo.training.export import difference_metric_onnx
from dataset_pipeline.models.registry import HubFile, ModelEntry, ModelPack, repository_folder

SEED = 7
MARK = "real_size.json"  # what a network's run costs, beside `hub/`; its presence says the weights are random
TAGGER_SIDE_PX, IDENTITY_SIDE_PX, DETECTOR_SIDE_PX, EMBEDDER_SIDE_PX, QUALITY_SIDE_PX = 448, 384, 640, 224, 224
QUALITY_CROPS = 25
FOUND_SHARE = 0.002  # of the places that a detector judges, those whose score is above a half
SCORE_SPREAD = 4.0  # standard deviation of its scores before the sigmoid
N_TAGS = {9: 4, 0: 8106, 4: 2751}  # of the v3 list, by category number


class Convolution(nn.Sequential):
    """Convolution, batch norm, SiLU."""

    def __init__(self, into: int, out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(into, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out), nn.SiLU(inplace=True)
        )


class Residual(nn.Module):
    """Two 3x3 convolutions, added to what goes in where `shortcut`."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__()
        self.both, self.shortcut = nn.Sequential(Convolution(width, width, 3), Convolution(width, width, 3)), shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.both(x) if self.shortcut else self.both(x)


class CrossStage(nn.Module):
    """YOLOv8's C2f: half of the channels through `depth` residual blocks, each block's answer kept."""

    def __init__(self, into: int, out: int, depth: int, shortcut: bool = False) -> None:
        super().__init__()
        half = out // 2
        self.split = Convolution(into, out)
        self.blocks = nn.ModuleList(Residual(half, shortcut) for _ in range(depth))
        self.join = Convolution((2 + depth) * half, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.split(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.join(torch.cat(parts, 1))


class Pyramid(nn.Module):
    """Three 5x5 maxima one after another, joined."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce, self.join = Convolution(width, width // 2), Convolution(width * 2, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = [self.reduce(x)]
        for _ in range(3):
            levels.append(functional.max_pool2d(levels[-1], 5, 1, 2))
        return self.join(torch.cat(levels, 1))


class Yolo(nn.Module):
    """YOLOv8 for one class: [b, 3, 640, 640] in 0..1 to [b, 5, 8400], centre, size and score.

    widths: channels at strides 2 to 32; depths: blocks at strides 4 to 32, and of the neck.
    """

    STRIDES, BINS = (8, 16, 32), 16

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...], neck: int, side_px: int) -> None:
        super().__init__()
        w2, _, w8, w16, w32 = widths
        self.stem = Convolution(3, w2, 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(Convolution(into, out, 3, 2), CrossStage(out, out, depth, shortcut=True))
            for into, out, depth in zip(widths, widths[1:], depths, strict=False)
        )
        self.pyramid = Pyramid(w32)
        self.down16, self.down8 = CrossStage(w32 + w16, w16, neck), CrossStage(w16 + w8, w8, neck)
        self.to16, self.up16 = Convolution(w8, w8, 3, 2), CrossStage(w8 + w16, w16, neck)
        self.to32, self.up32 = Convolution(w16, w16, 3, 2), CrossStage(w16 + w32, w32, neck)
        boxes, scores = max(16, w8 // 4, 4 * self.BINS), max(w8, 1)
        self.boxes = nn.ModuleList(self._head(width, boxes, 4 * self.BINS) for width in (w8, w16, w32))
        self.scores = nn.ModuleList(self._head(width, scores, 1) for width in (w8, w16, w32))
        centres = [
            torch.stack(torch.meshgrid(*[torch.arange(side_px // stride) + 0.5] * 2, indexing="xy")).flatten(1) * stride
            for stride in self.STRIDES
        ]
        self.register_buffer("centres", torch.cat(centres, 1))
        sizes = [torch.full((1, (side_px // stride) ** 2), float(stride)) for stride in self.STRIDES]
        self.register_buffer("strides", torch.cat(sizes, 1))
        self.register_buffer("bins", torch.arange(self.BINS, dtype=torch.float32).view(1, 1, self.BINS, 1))

    @staticmethod
    def _head(into: int, width: int, out: int) -> nn.Sequential:
        return nn.Sequential(Convolution(into, width, 3), Convolution(width, width, 3), nn.Conv2d(width, out, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = [self.stem(x)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        _, _, at8, at16, at32 = levels
        at32 = self.pyramid(at32)
        twice = functools.partial(functional.interpolate, scale_factor=2.0, mode="nearest")
        mid = self.down16(torch.cat([twice(at32), at16], 1))
        out8 = self.down8(torch.cat([twice(mid), at8], 1))
        out16 = self.up16(torch.cat([self.to16(out8), mid], 1))
        out32 = self.up32(torch.cat([self.to32(out16), at32], 1))
        outs = (out8, out16, out32)
        sides = torch.cat([head(out).flatten(2) for head, out in zip(self.boxes, outs, strict=True)], 2)
        scores = torch.cat([head(out).flatten(2) for head, out in zip(self.scores, outs, strict=True)], 2)
        sides = (sides.view(-1, 4, self.BINS, sides.shape[-1]).softmax(2) * self.bins).sum(2) * self.strides
        low, high = self.centres - sides[:, :2], self.centres + sides[:, 2:]
        return torch.cat([(low + high) / 2, high - low, scores.sigmoid()], 1)


def yolo(size: str) -> Yolo:
    """YOLOv8 of the size `m` or `s`."""
    widths, depths, neck = {
        "m": ((48, 96, 192, 384, 576), (2, 4, 4, 2), 2),
        "s": ((32, 64, 128, 256, 512), (1, 2, 2, 1), 1),
    }[size]
    return Yolo(widths, depths, neck, DETECTOR_SIDE_PX)


class Tagger(nn.Module):
    """The tagger's contract: NHWC, BGR 0..255, to probabilities and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        import timm

        self.net = timm.create_model(
            "swinv2_base_window8_256",
            pretrained=False,
            img_size=TAGGER_SIDE_PX,
            window_size=14,
            num_classes=sum(N_TAGS.values()),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.net.forward_features(x.permute(0, 3, 1, 2).flip(1) / 127.5 - 1)
        embedding = self.net.forward_head(features, pre_logits=True)
        return self.net.head.fc(embedding).sigmoid(), embedding


@dataclass(frozen=True)
class Network:
    """One network file: how many FLOP (two for a multiply-add) one picture costs, and how many parameters it has."""

    flop: float
    parameters: int


def build(cache: Path, seed: int = SEED) -> dict[str, Network]:
    """Write the pack `real` with random weights into `cache`, unless it is there; the cost of each model by its name.

    Raises FileExistsError for a folder that holds weights of another origin.
    """
    mark = cache / MARK
    if mark.is_file():
        return {name: Network(**told) for name, told in json.loads(mark.read_text("utf-8")).items()}
    if (cache / "hub").exists():
        raise FileExistsError(f"{cache} holds weights that this did not make: name an empty folder")
    pack = ModelPack.open("real", cache)
    costs = {}
    for role, write in WRITERS.items():
        for entry in pack.models(role):
            torch.manual_seed(seed)
            costs[entry.name] = write(pack, entry)
    mark.write_text(json.dumps({name: vars(cost) for name, cost in costs.items()}, indent=1), "utf-8")
    return costs


def _write(pack: ModelPack, entry: ModelEntry, files: Mapping[str, bytes]) -> None:
    """Write files of a model by their keys in models.toml, in the layout of a hub cache."""
    for key, content in files.items():
        file: HubFile = entry.files[key][0]
        repository = pack.hub / repository_folder(file.repository)
        commit = hashlib.sha1(f"random:{file.repository}".encode()).hexdigest()
        target = repository / "snapshots" / commit / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / file.revision).write_text(commit)


def _cost(net: nn.Module, example: torch.Tensor) -> Network:
    counter = FlopCounterMode(display=False)
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not see into the fused attention
    with torch.inference_mode(), counter:
        net(example)
    return Network(counter.get_total_flops() / len(example), sum(it.numel() for it in net.parameters()))


def _onnx(
    net: nn.Module, example: torch.Tensor, into: str, out: list[str], metadata: Mapping[str, str] | None = None
) -> bytes:
    import onnx

    buffer = io.BytesIO()
    axes = {name: {0: "batch"} for name in [into, *out]}
    options: dict[str, Any] = {"opset_version": 17, "dynamo": False, "dynamic_axes": axes}
    torch.onnx.export(net, (example,), buffer, input_names=[into], output_names=out, **options)
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, dict(metadata or {}))
    return model.SerializeToString()


def learn_norms(net: nn.Module, pictures: torch.Tensor) -> None:
    """Let batch norms know what passes them, so that answers depend on the picture; in the mode for answers then."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of all that is seen
    with torch.inference_mode():
        net.train()(pictures)
    net.eval()


def calibrated_yolo(size: str) -> Yolo:
    """YOLOv8 with random weights that finds some places in a picture, not nearly all or none."""
    net = yolo(size)
    scenes = [draw_scene(seed, (DETECTOR_SIDE_PX,) * 2, people=2).image for seed in range(3)]
    pictures = torch.stack([torch.from_numpy(scene).permute(2, 0, 1) / 255 for scene in scenes])
    learn_norms(net, pictures)
    with torch.inference_mode():
        scores = net(pictures)[:, 4].double().logit()
        spread = SCORE_SPREAD / scores.std().item()
        above = scores.quantile(1 - FOUND_SHARE).item()
        for head in net.scores:
            head[-1].weight *= spread
            head[-1].bias.copy_((head[-1].bias - above) * spread)
    return net


def _detector(pack: ModelPack, entry: ModelEntry) -> Network:
    net = calibrated_yolo(entry.name[-1])
    example = torch.rand(2, 3, DETECTOR_SIDE_PX, DETECTOR_SIDE_PX)
    metadata = {"names": str({0: entry.kind}), "imgsz": f"[{DETECTOR_SIDE_PX}, {DETECTOR_SIDE_PX}]"}
    _write(pack, entry, {"model": _onnx(net, example, "images", ["output0"], metadata)})
    return _cost(net, example)


def _identity(pack: ModelPack, entry: ModelEntry) -> Network:
    import timm

    net = timm.create_model("caformer_s36", pretrained=False, num_classes=768).eval()
    example = torch.rand(2, 3, IDENTITY_SIDE_PX, IDENTITY_SIDE_PX)
    files = {
        "features": _onnx(net, example, "input", ["output"]),
        "differences": difference_metric_onnx(768, 1.0),
        "metrics": json.dumps({"threshold": 0.17847511429108218}).encode(),
    }
    _write(pack, entry, files)
    return _cost(net, example)


def _tagger(pack: ModelPack, entry: ModelEntry) -> Network:
    net = Tagger().eval()
    example = torch.rand(2, TAGGER_SIDE_PX, TAGGER_SIDE_PX, 3) * 255
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["tag_id", "name", "category", "count"])
    numbers = (category for category, count in N_TAGS.items() for _ in range(count))
    rows.writerows([number, f"tag_{number:05d}", category, 1] for number, category in enumerate(numbers))
    files = {"model": _onnx(net, example, "input", ["output", "embedding"]), "tags": table.getvalue().encode()}
    _write(pack, entry, files)
    return _cost(net, example)


def _embedder(pack: ModelPack, entry: ModelEntry) -> Network:
    import open_clip
    from safetensors.torch import save

    net = open_clip.create_model("ViT-B-32", pretrained=None).eval()
    config = {
        "model_cfg": open_clip.get_model_config("ViT-B-32"),
        "preprocess_cfg": {"mean": [0.4815, 0.4578, 0.4082], "std": [0.2686, 0.2613, 0.2758]},
    }
    _write(pack, entry, {"config": json.dumps(config).encode(), "weights": save(net.state_dict())})
    return _cost(net.visual, torch.rand(2, 3, EMBEDDER_SIDE_PX, EMBEDDER_SIDE_PX))


def calibrated_hyperiqa(seed: int = SEED) -> nn.Module:
    """HyperIQA with random weights whose norms know what passes them, so that its answers depend on the picture."""
    import timm
    from pyiqa.archs.arch_util import uniform_crop
    from pyiqa.archs.hypernet_arch import HyperNet

    torch.manual_seed(seed)
    create = timm.create_model
    timm.create_model = lambda *names, **options: create(*names, **{**options, "pretrained": False})
    try:
        net = HyperNet(pretrained=False)
    finally:
        timm.create_model = create
    coarse = torch.rand(4, 3, 8, 12)
    pictures = functional.interpolate(coarse, (QUALITY_SIDE_PX * 2, QUALITY_SIDE_PX * 3), mode="bicubic").clamp(0, 1)
    noise = torch.rand_like(pictures) * torch.linspace(0, 1, 4)[:, None, None, None]
    learn_norms(net, uniform_crop([(pictures + noise) / 2], QUALITY_SIDE_PX, 4))
    return net


def _quality(pack: ModelPack, entry: ModelEntry) -> Network:
    net = calibrated_hyperiqa()
    buffer = io.BytesIO()
    torch.save({"params": net.state_dict()}, buffer)
    _write(pack, entry, {"weights": buffer.getvalue()})
    return _cost(net, torch.rand(1, 3, QUALITY_SIDE_PX * 2, QUALITY_SIDE_PX * 2))


WRITERS: dict[Any, Callable[[ModelPack, ModelEntry], Network]] = {
    "detector": _detector,
    "identity": _identity,
    "tagger": _tagger,
    "embedder": _embedder,
    "quality": _quality,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, cost in build(parser.parse_args().folder).items():
        print(f"{name}: {cost.parameters / 1e6:.1f} M parameters, {cost.flop / 1e9:.1f} GFLOP a picture")


if __name__ == "__main__":
    main()
