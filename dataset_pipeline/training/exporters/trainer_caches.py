"""Files in which trainers cache what they read, below an export: stale once captions or folders' names change."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from dataset_pipeline.training.exporters.folder import files_in

# Encoded captions of a picture: kohya's beside it, musubi-tuner's in a folder that its dataset file names. Their names
# begin with the picture's, up to an underscore, which our names do not have. Those of ai-toolkit go by the caption
# itself, so that they never go wrong.
OF_A_PICTURE = ("_te.npz", "_te_outputs.npz", "_te.safetensors")
# Captions, sizes and paths of all pictures of the folder they lie in: kohya's, and SimpleTuner's.
OF_A_FOLDER = ("metadata_cache.json", "aspect_ratio_bucket_*.json")
CACHE_FOLDER = "cache"  # diffusion-pipe's, in the folder of the pictures


def stale_caches(
    folder: Path, captioned: Collection[PurePosixPath], renamed: Collection[str], own_folders: Collection[str]
) -> list[str]:
    """Caches below the folder that no longer hold, sorted; a folder with a slash at its end.

    captioned: pictures whose caption changed. renamed: folders that got the name. own_folders: those that hold pictures
    of the set, whatever they are called.
    """
    stems = {path.stem for path in captioned}
    changed = {str(path.parent) for path in captioned} | set(renamed)
    own = {parent for path in own_folders for parent in (PurePosixPath(path), *PurePosixPath(path).parents)}
    found = set()
    for path in map(PurePosixPath, files_in(folder)):
        of_picture = path.name.endswith(OF_A_PICTURE) and path.name.partition("_")[0] in stems
        of_folder = str(path.parent) in changed and any(path.match(pattern) for pattern in OF_A_FOLDER)
        if of_picture or of_folder:
            found.add(str(path))
        for parent in path.parents:
            if parent.name == CACHE_FOLDER and str(parent.parent) in changed and parent not in own:
                found.add(f"{parent}/")
    return sorted(found)
