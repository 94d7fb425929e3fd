"""What the card of an export says of classes."""

from __future__ import annotations

from dataset_pipeline.regularization.joining import ClassMade, told_of_class


def test_the_card_tells_how_pictures_were_made_whatever_the_settings_say_today():
    asked = {"name": "woman", "source": "prompts", "prompts": ["a lady"], "negative_prompt": "blurry"}
    made_with = {"backend": "comfyui", "steps": 28, "guidance": 7.0, "sampler": "euler"}
    told = told_of_class(ClassMade(asked, 5, 14, made_with, "comfyui base.safetensors 12ab"), "CC0", 4)
    assert told["generator"] == {**made_with, "licence": "CC0", "model": "comfyui base.safetensors 12ab"}
    assert (told["prompts"], told["requested"], told["kept"]) == (["a lady"], 14, 4)
    assert told["seed"] == "each of the prompt and a count, and 5"
    asked = {"name": "scenery", "source": "stills", "prompts": [], "negative_prompt": ""}
    told = told_of_class(ClassMade(asked, 5, 9, {}, ""), "CC0", 2)
    assert (told["generator"], told["seed"]) == ({}, "")
