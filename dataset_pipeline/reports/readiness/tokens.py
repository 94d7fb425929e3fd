"""How long a caption is to CLIP's text encoder."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path


def clip_token_counter() -> Callable[[str], int]:
    """Counts the tokens of a caption as CLIP reads it, without the marks of start and end. Its pattern never reaches
    over white space, so that each word is looked at once however often it comes."""
    # By its file: importing the package brings every model it has, which takes longer than all else in the report.
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise ImportError("open_clip is not installed")
    spec = importlib.util.spec_from_file_location("tokenizer", Path(package.origin).with_name("tokenizer.py"))
    if spec is None or spec.loader is None:
        raise ImportError(f"{package.origin} has no tokenizer beside it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    encode = module.SimpleTokenizer().encode

    @functools.cache
    def of_word(word: str) -> int:
        return len(encode(word))

    return lambda caption: sum(map(of_word, caption.split()))
