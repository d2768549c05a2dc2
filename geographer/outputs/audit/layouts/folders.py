"""Images in folders by subset (`train/a.tif`, `img_dir/val/b.png`, `Train/Rural/images_png/1.png`), or named by it."""

from __future__ import annotations

from collections import Counter

from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.layouts.builder import LayoutBuilder
from geographer.outputs.audit.names import find_folder_subset, find_subset, sort_subsets
from geographer.outputs.audit.samples import Layout, Sample


def read_folders(index: FolderIndex) -> Layout | None:
    """Return the layout that folders give; None if fewer than two of them name subsets."""
    subset_by_path, parts = {}, Counter[tuple[str, str]]()
    for path in index.images:
        part, subset = _find_subset_part(path)
        if subset:
            subset_by_path[path] = subset, part
            parts[subset, part.lower()] += 1
    names = _name_subsets(parts)
    if len(set(names.values())) < 2:
        return _read_stems(index)
    builder = LayoutBuilder(index, "images in folders by subset")
    for path, (subset, part) in subset_by_path.items():
        builder.add_sample(Sample(path, names[subset, part.lower()]))
    builder.declared |= {
        subset for folder in index.folders if (subset := find_folder_subset(folder.rpartition("/")[2]))
    }
    read = [f"{part} as {names[subset, part]}" for subset, part in sorted(parts)]
    builder.notes.append(f"took folders for subsets: {', '.join(read)}")
    return builder.build_layout()


def read_without_split(index: FolderIndex) -> Layout:
    """Return the images of a folder in which no split was found."""
    builder = LayoutBuilder(index, "images without a split")
    builder.notes.append(
        "found no split: no folders such as train and test, no list and no annotations name subsets; pass --split FILE"
    )
    return builder.build_layout()


def _find_subset_part(path: str) -> tuple[str, str | None]:
    for part in path.split("/")[:-1]:
        if subset := find_folder_subset(part):
            return part, subset
    return "", None


def _name_subsets(parts: Counter[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Name the subset of each folder's name; `test_internal` is another one than `test`."""
    return {(subset, part): part if "internal" in part else subset for subset, part in parts}


def _read_stems(index: FolderIndex) -> Layout | None:
    """Return the layout that the first or last word of names gives, such as `train_0.png`; None if most have none."""
    subsets = {path: _find_stem_subset(path) for path in index.images}
    known = [subset for subset in subsets.values() if subset]
    if len(set(known)) < 2 or len(known) < 0.9 * len(subsets):
        return None
    builder = LayoutBuilder(index, "images named by subset")
    for path, subset in subsets.items():
        if subset:
            builder.add_sample(Sample(path, subset))
    builder.notes.append(f"took words in names for subsets: {', '.join(sort_subsets(known))}")
    return builder.build_layout()


def _find_stem_subset(path: str) -> str | None:
    words = path.rpartition("/")[2].rpartition(".")[0].replace("-", "_").split("_")
    return find_subset(words[0]) or find_subset(words[-1])
