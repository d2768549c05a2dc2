"""What names say: of which subset a folder or file is, whether a file is a label, and which scene a name carries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

_SYNONYMS: Final = {
    "train": "train training trn trainset trainingset",
    "val": "val valid validation valset validationset dev vali",
    "test": "test testing tst testset eval evaluation holdout",
    "trainval": "trainval trainvalid",
}
SUBSET_WORDS: Final = {word: subset for subset, words in _SYNONYMS.items() for word in words.split()}
"""The subset that each word means."""
_ORDER: Final = ("train", "val", "trainval", "test")
_NEUTRAL = (
    "images image imgs img data dataset set sets split splits chips chip tiles tile patches patch samples x "
    "rgb png jpg tif jpeg labels label masks mask annotations ann dir files list coco instances fold internal"
)
_NEUTRAL_WORDS: Final = frozenset(_NEUTRAL.split())
_LABEL = (
    "mask masks label labels gt annotation annotations ann target targets groundtruth lbl lbls labelids "
    "segmentations segmentationclass segmentationobject masklabel"
)
_LABEL_WORDS: Final = frozenset(_LABEL.split())
_IMAGE = "image images img imgs rgb jpegimages"
_IMAGE_WORDS: Final = frozenset(_IMAGE.split())
_SCENE_PATTERNS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"S1[A-D]_[A-Z0-9]{2}_[A-Z]{3}[A-Z_]?_\w{4}_\d{8}T\d{6}",
        r"L[COTEM]0[4-9]_[A-Z0-9]{4}_\d{6}_\d{8}",
        r"L[COTEM]0[4-9]_\d{6}_\d{8}",
    )
)
_TILE: Final = re.compile(r"(?<![A-Za-z0-9])T?(\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?![A-Za-z0-9])")
_DATE: Final = re.compile(r"(?<!\d)((?:19|20)\d{2}[01]\d[0-3]\d)(?:T\d{4,6})?(?!\d)")
_NEON_TILE: Final = re.compile(r"(?<!\d)(\d{6}_\d{7})(?!\d)")
_GRID_END: Final = re.compile(r"^(.*?)[_-](?:x|row|r)?-?\d+[_-](?:y|column|col|c)?-?\d+$", re.IGNORECASE)
_NUMBER_END: Final = re.compile(r"^(.*?)[_-](?:patch|tile|chip|crop|p)?_?\d+$", re.IGNORECASE)
_PATCH_END: Final = re.compile(r"[_-](\d+)[_-](\d+)$")


def find_subset(text: str) -> str | None:
    """Return the subset that a text names, such as `train` for `instances_train2017`; None if it names none."""
    words = [SUBSET_WORDS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in SUBSET_WORDS]
    subsets = set(words)
    if subsets == {"train", "val"}:
        return "trainval"
    return words[0] if len(subsets) == 1 else None


def find_folder_subset(name: str) -> str | None:
    """Return the subset that a folder's name means: all of its other words must be neutral, such as `images`."""
    words = re.findall(r"[a-z]+", name.lower())
    if not any(word in SUBSET_WORDS for word in words):
        return None
    return find_subset(name) if all(word in SUBSET_WORDS or word in _NEUTRAL_WORDS for word in words) else None


def find_path_subset(path: str) -> str | None:
    """Return the subset of the outermost folder of a path that names one."""
    return next((subset for part in path.split("/")[:-1] if (subset := find_folder_subset(part))), None)


def normalise_subset(value: object) -> str | None:
    """Return the name of a subset as a table gives it: `train` for `Training`; None for an empty value."""
    text = str(value).strip() if value is not None else ""
    if not text or text.lower() in {"nan", "none", "null"}:
        return None
    return SUBSET_WORDS.get(text.lower(), text)


def is_subset_word(value: object) -> bool:
    """Return whether a value of a table is the name of a subset."""
    return str(value).strip().lower() in SUBSET_WORDS


def replace_subset(path: str) -> str:
    """Return a path with each word for a subset replaced by `*`, so that the files of one split have one text."""
    pattern = r"(?<![A-Za-z])(" + "|".join(sorted(SUBSET_WORDS, key=len, reverse=True)) + r")(?![A-Za-z])"
    return re.sub(pattern, "*", path, flags=re.IGNORECASE)


def sort_subsets(subsets: Iterable[str]) -> list[str]:
    """Sort names of subsets: train, val, test, then others."""
    return sorted(set(subsets), key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def is_label_path(path: str) -> bool:
    """Return whether a path looks like that of a mask: the innermost telling folder decides, then the stem's end."""
    *folders, name = path.split("/")
    end = re.search(r"(?:^|[^a-z])([a-z]+)$", PurePosixPath(name).stem.lower())
    if end and end[1] in _LABEL_WORDS:
        return True
    for folder in reversed(folders):
        words = set(re.findall(r"[a-z]+", folder.lower()))
        if words & _LABEL_WORDS:
            return True
        if words & _IMAGE_WORDS:
            return False
    return False


def make_pairing_key(path: str) -> str:
    """Return what the path of an image and that of its mask have in common: words such as `images`, `masks` removed."""
    *folders, name = path.split("/")
    ignored = _LABEL_WORDS | _IMAGE_WORDS | {"png", "tif", "jpg", "dir", "merged", "sat", "m"}
    kept = [folder.lower() for folder in folders if not set(re.findall(r"[a-z]+", folder.lower())) <= ignored]
    words = re.split(r"[._-]+", PurePosixPath(name).stem.lower())
    while len(words) > 1 and words[-1].lstrip("0123456789") in ignored - {""}:
        words.pop()
    return "/".join([*kept, "_".join(words)])


def find_scene(stem: str) -> str | None:
    """Return the scene, tile with date or mosaic that a file's stem names; None if it names none."""
    for pattern in _SCENE_PATTERNS:
        if match := pattern.search(stem):
            return match[0]
    tile, date = _TILE.search(stem), _DATE.search(stem)
    if tile and date:
        return f"{tile[1]}_{date[1]}"
    if match := _NEON_TILE.search(stem):
        return match[1]
    base = _find_base(stem)
    return base if base and _is_telling(base) else None


def find_place(stem: str) -> str | None:
    """Return the tile with row and column that a stem names, whatever its date: two of them show the same ground."""
    tile, patch = _TILE.search(stem), _PATCH_END.search(stem)
    return f"{tile[1]}_{patch[1]}_{patch[2]}" if tile and patch else None


def is_telling_stem(stem: str) -> bool:
    """Return whether a stem is so specific that two files with it show the same: a letter and five digits at least."""
    return bool(re.search(r"[A-Za-z]", stem)) and len(re.findall(r"\d", stem)) >= 5


def _find_base(stem: str) -> str | None:
    match = _GRID_END.match(stem) or _NUMBER_END.match(stem)
    return match[1] if match else None


def _is_telling(base: str) -> bool:
    return bool(re.search(r"[A-Za-z]", base)) and len(re.findall(r"\d", base)) >= 2
