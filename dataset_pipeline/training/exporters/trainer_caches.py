"""Files in which trainers cache encoded captions, beside the pictures of an export."""

from __future__ import annotations

from pathlib import Path

from dataset_pipeline.training.exporters.folder import files_in

# Trainers' caches of encoded captions: kohya's beside the pictures, ai-toolkit's in folders of their own. Their names
# begin with the picture's, up to an underscore, which our names do not have.
TEXT_CACHE_ENDS, TEXT_CACHE_FOLDER = ("_te.npz", "_te_outputs.npz"), "_t_e_cache"
CAPTION_CACHE = "metadata_cache.json"  # kohya's, of all captions in its folder


def stale_caches(folder: Path, stems: set[str]) -> list[str]:
    """Files below the folder with cached captions of the pictures of these stems."""
    found = []
    for name, path in files_in(folder).items():
        is_text = path.name.endswith(TEXT_CACHE_ENDS) or path.parent.name == TEXT_CACHE_FOLDER
        if (is_text and path.name.partition("_")[0] in stems) or (stems and path.name == CAPTION_CACHE):
            found.append(name)
    return found
