"""Read an exported folder with a trainer's own loader: `run_loader.py TRAINER CHECKOUT FOLDER OUT`.

Runs in the trainer's Python, which need not have this project's packages. Networks, tokenizers and what only videos
need have stand-ins; all that looks for files, reads texts and counts is the trainer's. OUT gets JSON: for each way to
give the trainer the set, a list of what its own code saw in an epoch, see `seen`.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import os
import re
import shlex
import sys
import tempfile
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

Seen = dict[str, Any]
RESOLUTION = 512  # what the trainers are told to train at


def seen(file: str, part: str, caption: str, times: float, mask: str | None, size: Iterable[int]) -> Seen:
    """part: what the trainer takes the picture for. caption: as it is handed to the tokenizer. size: the bucket."""
    return {"file": file, "part": part, "caption": caption, "times": times, "mask": mask, "size": [*map(int, size)]}


def card_flags(folder: Path, first: str) -> list[str]:
    """The command's flags that the card tells, from `first` on."""
    found = re.search(f"`({first}[^`]*)`", (folder / "README.md").read_text("utf-8"))
    assert found, first
    return shlex.split(found[1])


def kohya(folder: Path) -> dict[str, list[Seen]]:
    import torch
    from library import config_util, strategy_base, strategy_sd, train_util

    class Words(strategy_base.TokenizeStrategy):
        def tokenize(self, text: Any) -> list[Any]:
            self.text = text
            return [torch.zeros(1, 1)]

    words = Words()
    strategy_base.TokenizeStrategy.set_strategy(words)
    strategy_base.LatentsCachingStrategy.set_strategy(strategy_sd.SdSdxlLatentsCachingStrategy(True, False, 1, False))

    def read(user_config: dict[str, Any], flags: list[str]) -> list[Seen]:
        parser = argparse.ArgumentParser()
        train_util.add_dataset_arguments(parser, True, True, True)
        train_util.add_training_arguments(parser, True)
        train_util.add_masked_loss_arguments(parser)
        options = parser.parse_args(["--resolution", str(RESOLUTION), *flags])
        train_util.prepare_dataset_args(options, True)
        sanitizer = config_util.ConfigSanitizer(True, True, options.masked_loss, True)
        blueprint = config_util.BlueprintGenerator(sanitizer).generate(user_config, options)
        trained, held_out = config_util.generate_dataset_group_by_blueprint(blueprint.dataset_group)
        found: dict[tuple[str, str], Seen] = {}
        for part, group in (("train", trained), ("validation", held_out)):
            if group is None:
                continue
            group.verify_bucket_reso_steps(64)  # as train_network.py and its relatives
            group.set_current_strategies()
            for dataset in group.datasets:
                base = getattr(dataset, "dreambooth_dataset_delegate", dataset)
                for place in range(len(dataset)):
                    example = dataset[place]
                    batch = base.buckets_indices[place]
                    key = base.bucket_manager.buckets[batch.bucket_index][batch.batch_index]
                    info = base.image_data[key]
                    name = "reg" if info.is_reg else part
                    caption = words.text
                    if base.image_to_subset[key].shuffle_caption:
                        kept, mark, rest = info.caption.partition(base.image_to_subset[key].keep_tokens_separator)
                        assert mark not in caption or not mark
                        assert sorted(tags(caption)) == sorted([*tags(kept), *tags(rest)])
                        assert caption.startswith(", ".join(tags(kept))) or not mark
                        caption = info.caption
                    cond = getattr(info, "cond_img_path", None)
                    assert (cond is not None) == ("conditioning_images" in example)
                    entry = seen(info.absolute_path, name, caption, 0, cond, info.bucket_reso)
                    found.setdefault((name, info.absolute_path), entry)["times"] += 1
        return list(found.values())

    def tags(text: str) -> list[str]:
        return [tag.strip() for tag in text.split(",") if tag.strip()]

    subsets = config_util.generate_dreambooth_subsets_config_by_subdirs(str(folder / "train"), str(folder / "reg"))
    found = {"folders": read({"datasets": [{"subsets": subsets}]}, card_flags(folder, "--caption_extension"))}
    for path in sorted(folder.glob("absolute/*.toml")):
        flags = ["--masked_loss"] if "masked" in path.name else []
        found[path.name] = read(config_util.load_user_config(path), flags)
    return found


def everydream(folder: Path) -> dict[str, list[Seen]]:
    from data import aspects, resolver
    from data.data_loader import DataLoaderMultiAspect
    from data.every_dream import EveryDreamBatch
    from data.every_dream_validation import EveryDreamValidator
    from plugins.plugins import PluginRunner

    captions: list[str] = []

    def tokenizer(text: str, **options: Any) -> Any:
        captions.append(text)
        return types.SimpleNamespace(input_ids=[0])

    tokenizer.model_max_length = 77
    arguments = argparse.Namespace(
        aspects=aspects.get_aspect_buckets(RESOLUTION), flip_p=0.0, data_root=str(folder / "train")
    )
    items = resolver.resolve(arguments.data_root, arguments)
    assert not [item.error for item in items if item.error]
    told = re.search(r'`("val_split_mode".*?)`', (folder / "README.md").read_text("utf-8"))
    config = {"val_split_mode": "none"}
    if told:
        config = json.loads("{" + told[1].replace("<this folder>", folder.as_posix()) + "}")
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "validation.json").write_text(json.dumps(config))
        validator = EveryDreamValidator(str(Path(scratch) / "validation.json"), 1, RESOLUTION, mock.Mock())
        items = validator.prepare_validation_splits(items, tokenizer)
    trained = EveryDreamBatch(DataLoaderMultiAspect(items), tokenizer=tokenizer, plugin_runner=PluginRunner())
    batches = [("train", trained)]
    batches += [("validation", dataset.dataloader.dataset) for dataset in validator.validation_datasets]
    found = []
    for part, batch in batches:
        batch.conditional_dropout = -1.0  # no caption is dropped by chance
        multipliers = {item.pathname: item for item in batch.data_loader.prepared_train_data}
        read = {}
        for place, item in enumerate(batch.image_train_items):
            batch[place]
            read[item.pathname] = captions[-1]
        whole = {path for path, item in multipliers.items() if item.multiplier >= 1}
        assert whole <= read.keys()
        for path, item in multipliers.items():
            # What chance left out of this epoch is asked for its caption directly.
            caption = read.get(path, item.caption.get_caption())
            found.append(seen(path, part, caption, item.multiplier, None, item.target_wh))
    return {"train": found}


def onetrainer(folder: Path) -> dict[str, list[Seen]]:
    from modules.dataLoader.mixin.DataLoaderMgdsMixin import DataLoaderMgdsMixin
    from modules.dataLoader.mixin.DataLoaderText2ImageMixin import DataLoaderText2ImageMixin
    from modules.util.config.TrainConfig import TrainConfig
    from modules.util.enum.DataType import DataType
    from modules.util.TrainProgress import TrainProgress

    names = ["image_path", "prompt", "crop_resolution"]

    class Loader(DataLoaderText2ImageMixin, DataLoaderMgdsMixin):
        def _preparation_modules(self, config: Any, model: Any) -> list[Any]:
            return []

        def _cache_modules(self, config: Any, model: Any, setup: Any) -> list[Any]:
            return self._cache_modules_from_names(
                model, setup, [], [], [], [*wanted, "concept"], config, text_caching=False
            )

        def _output_modules(self, config: Any, model: Any, setup: Any) -> list[Any]:
            return self._output_modules_from_out_names(
                model, setup, wanted, config, vae=None, autocast_context=[], train_dtype=DataType.FLOAT_32
            )

        def _debug_modules(self, config: Any, model: Any) -> list[Any]:
            return []

    config = TrainConfig.default_values()
    has_masks = any(folder.glob("*/*/*-masklabel.png"))
    wanted = [*names, *(["mask_path", "mask"] if has_masks else [])]
    config.concepts = None
    config.concept_file_name = str(folder / "absolute/concepts.json")
    config.masked_training, config.latent_caching, config.aspect_ratio_bucketing = has_masks, False, True
    config.validation, config.batch_size, config.resolution = True, 1, str(RESOLUTION)
    config.train_device = "cpu"
    found: dict[str, Seen] = {}
    parts = {"STANDARD": "train", "VALIDATION": "validation", "PRIOR_PREDICTION": "reg"}
    for is_validation in (False, True):
        dataset = Loader()._create_dataset(
            config, types.SimpleNamespace(train_dtype=DataType.FLOAT_32), None, TrainProgress(), is_validation, 64
        )
        dataset.start_next_epoch()
        for item in dataset:
            part = parts[str(item["concept_type"])]
            mask = item.get("mask_path") if has_masks else None
            height, width = item["crop_resolution"]
            if mask:
                assert item["mask"].shape[-2:] == (height, width)
            entry = seen(item["image_path"], part, item["prompt"], 0, mask, (width, height))
            found.setdefault(item["image_path"], entry)["times"] += 1
    return {"concepts.json": list(found.values())}


def ai_toolkit(folder: Path) -> dict[str, list[Seen]]:
    import yaml
    from toolkit.config_modules import DatasetConfig, preprocess_dataset_raw_config
    from toolkit.data_loader import AiToolkitDataset

    model = mock.MagicMock(is_audio_model=False, text_embedding_space_version="sd1", te_padding_side="right")
    model.get_bucket_divisibility.return_value = 16
    model.vae.config = types.SimpleNamespace()
    model.unet.config = types.SimpleNamespace()
    model.model_config.latent_space_version = "sd1"
    model.encode_control_in_text_embeddings = model.encode_first_frame_in_text_embeddings = False
    found: dict[str, Seen] = {}
    options = yaml.safe_load((folder / "absolute/datasets.yaml").read_text("utf-8"))["datasets"]
    for config in preprocess_dataset_raw_config([option | {"resolution": RESOLUTION} for option in options]):
        dataset = AiToolkitDataset(DatasetConfig(**config), batch_size=1, sd=model)
        for place in range(len(dataset)):
            (item,) = dataset[place]
            part = "reg" if item.is_reg else "train"
            assert (item.mask_path is None) == (item.mask_tensor is None)
            entry = seen(item.path, part, item.caption, 0, item.mask_path, (item.crop_width, item.crop_height))
            found.setdefault(item.path, entry)["times"] += 1
    return {"datasets.yaml": list(found.values())}


def diffusion_pipe(folder: Path) -> dict[str, list[Seen]]:
    stand_ins("comfy", "comfy.model_management", "comfy_api", "comfy_api.latest", "deepspeed", "deepspeed.comm")
    stand_ins("deepspeed.comm.comm", "deepspeed.utils", "deepspeed.utils.logging")
    import toml
    from utils import dataset as loader

    loader.NUM_PROC = 1
    model = types.SimpleNamespace(name="model", framerate=None, pixels_round_to_multiple=32)
    model.model_specific_dataset_config_validation = lambda config: None
    found: dict[str, list[Seen]] = {}
    for name, part in (("dataset.toml", "train"), ("eval.toml", "validation")):
        path = folder / "absolute" / name
        if not path.exists():
            continue
        read = loader.Dataset(toml.load(path), model)
        read.cache_metadata()
        entries = found[name] = []
        for directory in read.directory_datasets:
            directory.cache_latents(latent_of)
            for bucket in directory.get_size_bucket_datasets():
                counts = collections.Counter()
                for place in range(len(bucket)):
                    counts[bucket[place]["place"]] += 1
                for row in bucket.metadata_dataset:
                    (caption,) = row["caption"]
                    file = row["image_spec"][1]
                    size = bucket.size_bucket[:2] if len(bucket.size_bucket) == 3 else bucket.size_bucket[1:3]
                    entries.append(seen(file, part, caption, counts[file], row["mask_file"], size))
    return found


def latent_of(example: Any, rank: int) -> Any:
    import torch

    return {"latents": torch.zeros(len(example["image_spec"]), 1), "place": [spec[1] for spec in example["image_spec"]]}


def musubi(folder: Path) -> dict[str, list[Seen]]:
    import torch
    from musubi_tuner.dataset import architectures, cache_io, config_utils

    config = config_utils.load_user_config(str(folder / "absolute/dataset.toml"))
    config["general"]["resolution"] = [RESOLUTION, RESOLUTION]
    generator = config_utils.BlueprintGenerator(config_utils.ConfigSanitizer())
    options = argparse.Namespace(debug_dataset=False)
    blueprint = generator.generate(config, options, architecture=architectures.ARCHITECTURE_QWEN_IMAGE)
    items: dict[str, Any] = {}
    captions: dict[str, str] = {}
    # As qwen_image_cache_latents.py, and the script for the text encoder's outputs.
    for dataset in config_utils.generate_dataset_group_by_blueprint(blueprint.dataset_group).datasets:
        os.makedirs(dataset.cache_directory, exist_ok=True)
        for _, batch in dataset.retrieve_latent_cache_batches(1):
            for item in batch:
                cache_io.save_latent_cache_qwen_image(item, torch.zeros(1, 1, 1, 1), None)
                items[item.latent_cache_path] = item
    for dataset in config_utils.generate_dataset_group_by_blueprint(blueprint.dataset_group).datasets:
        for batch in dataset.retrieve_text_encoder_output_cache_batches(1):
            for item in batch:
                cache_io.save_text_encoder_output_cache_qwen_image(item, torch.zeros(1, 1))
                captions[item.item_key] = item.caption
    found: dict[str, Seen] = {}
    trained = config_utils.generate_dataset_group_by_blueprint(blueprint.dataset_group, training=True)
    for dataset in trained.datasets:
        for bucket in dataset.batch_manager.buckets.values():
            for cached in bucket:
                item = items[cached.latent_cache_path]
                entry = seen(item.item_key, "train", captions[item.item_key], 0, None, cached.bucket_size[:2])
                found.setdefault(item.item_key, entry)["times"] += 1
    return {"dataset.toml": list(found.values())}


def hydrus(folder: Path) -> dict[str, list[Seen]]:
    from hydrus.client.metadata.ClientMetadataMigrationImporters import SingleFileMetadataImporterTXT
    from hydrus.core import HydrusTags

    importer = SingleFileMetadataImporterTXT()
    found = []
    for part in ("train", "validation", "reg"):
        for path in sorted(str(path) for path in folder.glob(f"{part}/*") if path.suffix != ".txt"):
            tags = sorted(HydrusTags.CleanTags(importer.Import(path)))
            found.append(seen(path, part, "\n".join(tags), 1, None, ()))
    return {"sidecars": found}


def simpletuner(folder: Path) -> dict[str, list[Seen]]:
    from accelerate import Accelerator
    from simpletuner.helpers.data_backend import factory
    from simpletuner.helpers.models.common import ModelFoundation
    from simpletuner.helpers.training.exceptions import MultiDatasetExhausted
    from simpletuner.helpers.training.state_tracker import StateTracker

    class Options(argparse.Namespace):
        def __getattr__(self, name: str) -> None:
            """Options that are not set; asking for all of them imports every model."""
            if name.startswith("__"):
                raise AttributeError(name)

    model = mock.MagicMock(spec=ModelFoundation)
    for name in dir(ModelFoundation):
        if name.isupper():
            setattr(model, name, getattr(ModelFoundation, name))
        if name.startswith(("requires_", "supports_", "uses_")):
            setattr(model, name, mock.Mock(return_value=False))
    with tempfile.TemporaryDirectory() as scratch:
        options = Options(
            model_family="sd1x", model_type="lora", output_dir=scratch, cache_dir=scratch, cache_dir_text=scratch,
            cache_dir_vae=scratch, data_backend_config=str(folder / "absolute/multidatabackend.json"),
            train_batch_size=1, gradient_accumulation_steps=1, max_train_steps=10, skip_file_discovery="",
            resolution=1024, resolution_type="pixel", minimum_image_size=0, caption_strategy="filename",
            aspect_bucket_worker_count=1, aspect_bucket_rounding=2, aspect_bucket_alignment=64,
            caption_dropout_probability=0.0, metadata_update_interval=3600, write_batch_size=1, read_batch_size=1,
        )  # fmt: skip
        StateTracker.set_model_family(options.model_family)
        StateTracker.set_model(model)
        model.AUTOENCODER_CLASS = None
        factory.configure_multi_databackend_new(options, Accelerator(cpu=True), [], [], model)
        found = []
        for name, backend in StateTracker.get_data_backends(_types=["image", "eval"]).items():
            sampler = backend["sampler"]
            repeats = StateTracker.get_data_backend_config(name)["repeats"] + 1
            part = name.partition("-")[0]
            entries: dict[str, Seen] = {}
            try:
                for sample, *masks in sampler:
                    path = sample["image_path"]
                    mask = masks[0].image_path() if masks else None
                    entry = seen(path, part, sample["instance_prompt_text"], 0, mask, sample["target_size"])
                    entries.setdefault(path, entry)["times"] += repeats
            except MultiDatasetExhausted:
                pass
            found += entries.values()
            assert sum(entry["times"] for entry in entries.values()) == len(sampler)
    return {"multidatabackend.json": found}


def stand_ins(*names: str) -> None:
    for name in names:
        sys.modules.setdefault(name, mock.MagicMock())


LOADERS: dict[str, Callable[[Path], dict[str, list[Seen]]]] = {
    loader.__name__: loader
    for loader in (kohya, everydream, onetrainer, ai_toolkit, diffusion_pipe, musubi, simpletuner, hydrus)
}

if __name__ == "__main__":
    trainer, checkout, exported, out = sys.argv[1:]
    logging.disable(logging.WARNING)
    sys.path[:1] = [checkout, f"{checkout}/src"]
    os.chdir(checkout)
    result = LOADERS[trainer](Path(exported))
    Path(out).write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")
