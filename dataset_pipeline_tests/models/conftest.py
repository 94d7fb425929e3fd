"""A pack of tiny random networks in the layout and with the inputs and outputs of the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.models import ModelPack, loading
from dataset_pipeline.models.registry import load_registry

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TAGS = "tag_id,name,category,count\n" + "".join(
    f"{number},{name},{category},1\n"
    for number, (name, category) in enumerate(
        [("general", 9), ("explicit", 9), ("1girl", 0), ("null", 0), ("long_hair", 0), ("rem_(re:zero)", 4)]
    )
)
NAMED = [("safe", 9), ("explicit", 9), ("1girl", 0), ("smile", 0), ("long_hair", 0), ("rem_(re:zero)", 4)]
LISTS = {
    **dict.fromkeys(
        ("pixai", "camie", "timm"), "id,name,category\n" + "".join(f"0,{name},{number}\n" for name, number in NAMED)
    ),
    "ml_danbooru": "name,real_name\n" + "".join(f"{name},{name}\n" for name, _ in NAMED),
    "deepdanbooru": "name,real_name,category\n"
    + "".join(f"{'rating:' * (number == 9)}{name},{name},{number}\n" for name, number in NAMED),
}
CAMIE_CATEGORIES = ("rating", "year", "general", "artist", "copyright", "character", "meta")
PIXAI_THRESHOLDS = b"category,name,threshold\n0,general,0.3\n4,character,0.8\n9,rating,0\n"


def put(root: Path, file: str, content: bytes, commit: str = COMMIT) -> Path:
    """Write `<owner>/<repository>/<path>` into a pack's hub folder."""
    owner, repository, path = file.split("/", 2)
    folder = root / "hub" / f"models--{owner}--{repository}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    target = folder / "snapshots" / commit / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def onnx_file(nodes: list, constants: dict, inputs: dict, outputs: dict, metadata: dict | None = None) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]
        for values in (inputs, outputs)
    ]
    initialisers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph([helper.make_node(*node[:3], **node[3]) for node in nodes], "tiny", *infos, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    return model.SerializeToString()


def detector_file(seed: int, kind: str, batch: str | int = "batch") -> bytes:
    """16 boxes of a 64 px input, from one random convolution."""
    random = np.random.default_rng(seed)
    constants = {
        "weights": random.normal(0, 0.2, (5, 3, 16, 16)).astype(np.float32),
        "shape": np.asarray([-1, 5, 16], np.int64),
        "scale": np.asarray([64, 64, 40, 40, 1], np.float32).reshape(1, 5, 1),
    }
    nodes = [
        ("Conv", ["images", "weights"], ["map"], {"strides": [16, 16]}),
        ("Reshape", ["map", "shape"], ["flat"], {}),
        ("Sigmoid", ["flat"], ["unit"], {}),
        ("Mul", ["unit", "scale"], ["output0"], {}),
    ]
    metadata = {"names": repr({0: kind}), "imgsz": "[64, 64]"}
    return onnx_file(nodes, constants, {"images": [batch, 3, 64, 64]}, {"output0": [batch, 5, 16]}, metadata)


def pooled_file(seed: int, side_px: int, layout: str, width: int, batch: str | int = "batch") -> bytes:
    """A random linear map of the 8x8 mean colours: a CCIP feature network ("nchw") or a WD14 tagger ("nhwc")."""
    random = np.random.default_rng(seed)
    pool, first = side_px // 8, ("input" if layout == "nchw" else "chw")
    scale = 1.0 if layout == "nchw" else 1 / 255
    constants = {
        "weights": (random.normal(0, 0.5, (192, width)) * scale).astype(np.float32),
        "shape": np.asarray([-1, 192], np.int64),
    }
    nodes: list = [] if layout == "nchw" else [("Transpose", ["input"], ["chw"], {"perm": [0, 3, 1, 2]})]
    nodes += [
        ("AveragePool", [first], ["pooled"], {"kernel_shape": [pool, pool], "strides": [pool, pool]}),
        ("Reshape", ["pooled", "shape"], ["flat"], {}),
        ("MatMul", ["flat", "weights"], ["output" if layout == "nchw" else "logits"], {}),
    ]
    if layout == "nchw":
        return onnx_file(nodes, constants, {"input": [batch, 3, side_px, side_px]}, {"output": [batch, width]})
    nodes += [("Sigmoid", ["logits"], ["output"], {})]
    shapes = {"output": [batch, width], "flat": [batch, 192]}
    return onnx_file(nodes, constants, {"input": [batch, side_px, side_px, 3]}, shapes)


def heads_file(seed: int, side_px: int, width: int, outputs: tuple[str, ...]) -> bytes:
    """A random linear map of the 8x8 mean colours with an output of each name, probabilities, logits or features by
    the end of the name; those of `initial/` are others than the rest."""
    random = np.random.default_rng(seed)
    pool = side_px // 8
    constants = {"shape": np.asarray([-1, 192], np.int64)}
    nodes: list = [
        ("AveragePool", ["input"], ["pooled"], {"kernel_shape": [pool, pool], "strides": [pool, pool]}),
        ("Reshape", ["pooled", "shape"], ["flat"], {}),
    ]
    for stem in sorted({name.rpartition("/")[0] for name in outputs}):
        constants[f"weights {stem}"] = random.normal(0, 0.3, (192, width)).astype(np.float32)
        at = f"{stem}/" if stem else ""
        nodes += [
            ("MatMul", ["flat", f"weights {stem}"], [f"{at}logits"], {}),
            ("Sigmoid", [f"{at}logits"], [next(n for n in outputs if n in (f"{at}output", f"{at}prediction"))], {}),
            ("Identity", ["flat"], [f"{at}embedding"], {}),
        ]
    shapes = {name: ["batch", 192 if name.endswith("embedding") else width] for name in outputs}
    return onnx_file(nodes, constants, {"input": ["batch", 3, side_px, side_px]}, shapes)


def differences_file() -> bytes:
    """1 - cosine, clipped to 0..1, between all rows."""
    constants = {"one": np.float32(1), "zero": np.float32(0)}
    nodes = [
        ("LpNormalization", ["input"], ["unit"], {"axis": 1, "p": 2}),
        ("Transpose", ["unit"], ["across"], {"perm": [1, 0]}),
        ("MatMul", ["unit", "across"], ["cosine"], {}),
        ("Sub", ["one", "cosine"], ["difference"], {}),
        ("Clip", ["difference", "zero", "one"], ["output"], {}),
    ]
    return onnx_file(nodes, constants, {"input": ["n", 768]}, {"output": ["n", "n"]})


@pytest.fixture(scope="session")
def onnx_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Detectors, identity and tagger; use it as the `cache` of the real pack."""
    root = tmp_path_factory.mktemp("pack")
    pack = ModelPack.open("real")
    for seed, entry in enumerate(pack.models("detector")):
        put(root, str(entry.files["model"][0]), detector_file(seed, entry.kind))
    identity = pack.models("identity")[0]
    put(root, str(identity.files["features"][0]), pooled_file(7, 384, "nchw", 768))
    put(root, str(identity.files["differences"][0]), differences_file())
    put(root, str(identity.files["metrics"][0]), b'{"threshold": 0.25}')
    tagger = pack.models("tagger")[0]
    put(root, str(tagger.files["model"][0]), pooled_file(8, 448, "nhwc", 6))
    put(root, str(tagger.files["tags"][0]), TAGS.encode())
    return root


@pytest.fixture(scope="session")
def families_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny tagger of each family but WD14, in the files of the real ones."""
    root = tmp_path_factory.mktemp("families_pack")
    registry = load_registry()
    stages = [
        {"type": "convert_rgb"},
        {"type": "resize", "size": [64, 64], "interpolation": "bicubic", "antialias": True},
        {"type": "maybe_to_tensor"},
        {"type": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.4, 0.3]},
    ]
    outputs = {
        "pixai": ("prediction", "logits", "embedding"),
        "camie": ("initial/output", "initial/logits", "initial/embedding", "output", "logits", "embedding"),
        "timm": ("prediction", "logits", "embedding"),
    }
    for seed, entry in enumerate(entry for entry in registry.models.values() if entry.role == "tagger"):
        if entry.family == "wd14":
            continue
        if entry.family in outputs:
            put(root, str(entry.files["model"][0]), heads_file(seed, 64, 6, outputs[entry.family]))
            content = {"test": stages, "val": stages} if entry.family == "timm" else {"stages": stages}
            put(root, str(entry.files["preprocess"][0]), json.dumps(content).encode())
        elif entry.family == "ml_danbooru":
            put(root, str(entry.files["model"][0]), pooled_file(seed, 448, "nchw", 6))
        else:
            put(root, str(entry.files["model"][0]), pooled_file(seed, 512, "nhwc", 6))
        put(root, str(entry.files["tags"][0]), LISTS[entry.family].encode())
    put(
        root,
        "deepghs/pixai-tagger-v0.9-onnx/thresholds.csv",
        b"category,name,threshold\n0,general,0.3\n4,character,0.8\n9,rating,0\n",
    )
    categories = [
        {"category": number, "name": name} for number, name in ((0, "general"), (4, "character"), (9, "rating"))
    ]
    timm = str(registry.models["animetimm-mobilenetv3-large"].files["model"][0]).rpartition("/")[0]
    put(root, f"{timm}/categories.json", json.dumps(categories).encode())
    thresholds = {category: {"balanced": {"threshold": 0.5}} for category in CAMIE_CATEGORIES}
    put(root, "deepghs/camie_tagger_onnx/initial/threshold.json", json.dumps(thresholds).encode())
    return root


@pytest.fixture(scope="session")
def fixed_batch_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tagger for one picture per run, and the same person detector for three."""
    root = tmp_path_factory.mktemp("fixed_batch_pack")
    pack = ModelPack.open("real")
    person, tagger = pack.models("detector")[0], pack.models("tagger")[0]
    put(root, str(person.files["model"][0]), detector_file(0, "person", batch=3))
    put(root, str(tagger.files["model"][0]), pooled_file(8, 448, "nhwc", 6, batch=1))
    put(root, str(tagger.files["tags"][0]), TAGS.encode())
    return root


@pytest.fixture(scope="session")
def torch_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP with random weights and a CNNIQA; use it as the `cache` of the real pack, with quality = cnniqa."""
    import open_clip
    import torch
    from pyiqa.archs.cnniqa_arch import CNNIQA
    from safetensors.torch import save

    root = tmp_path_factory.mktemp("torch_pack")
    pack = ModelPack.open("real", overrides={"quality": "cnniqa"})
    config = {
        "model_cfg": {
            "embed_dim": 32,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
            "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
        },
        "preprocess_cfg": {"resize_mode": "shortest"},
    }
    embedder = pack.models("embedder")[0]
    path = put(root, str(embedder.files["config"][0]), json.dumps(config).encode())
    torch.manual_seed(0)
    clip = open_clip.create_model(f"local-dir:{path.parent}", load_weights=False)
    put(
        root,
        str(embedder.files["weights"][0]),
        save({name: value.clone() for name, value in clip.state_dict().items()}),
    )
    weights = put(root, str(pack.models("quality")[0].files["weights"][0]), b"")
    torch.save({"params": CNNIQA(pretrained=None).state_dict()}, weights)
    return root


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """Seven RGB pictures of five sizes: blocks of colour and noise."""
    random = np.random.default_rng(3)
    sizes = [(90, 160), (90, 160), (200, 120), (64, 64), (301, 97), (90, 160), (64, 64)]
    made = []
    for height, width in sizes:
        blocks = random.integers(0, 256, (4, 5, 3)).repeat(height // 4 + 1, 0).repeat(width // 5 + 1, 1)
        noise = random.integers(-20, 20, (height, width, 3))
        made.append(np.clip(blocks[:height, :width] + noise, 0, 255).astype(np.uint8))
    return made


@pytest.fixture(autouse=True)
def _fresh_models():
    loading.unload_all()
    loading.reset_calls()
    yield
    loading.unload_all()
