"""Configurations of training tools that name folders and lists: TerraTorch (and others of Lightning), and YOLO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from geographer.base.errors import UsageError
from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.layouts.builder import LayoutBuilder
from geographer.outputs.audit.layouts.documents import Document, DocumentError
from geographer.outputs.audit.report import Severity, show_path
from geographer.outputs.audit.samples import BoxExtent, Layout, Sample

_SUBSETS: Final = ("train", "val", "test")
_MAX_DEPTH: Final = 20
_MAX_PATTERNS: Final = 100


def read_configuration(index: FolderIndex, documents: Sequence[Document], *, is_chosen: bool = False) -> Layout | None:
    """Return the layout that the first configuration with folders of this dataset gives; None if there is none.

    Raises:
        UsageError: The user chose the file (`is_chosen`), and it names no two subsets of the folder.
    """
    for document in sorted((document for document in documents if document.is_yaml), key=lambda d: d.name):
        try:
            content = document.read_yaml()
        except DocumentError as error:
            if is_chosen:
                raise UsageError(f"'{show_path(document.name)}' cannot be read: {error}.") from error
            continue
        layout = _read_terratorch(index, document, content) or _read_yolo(index, document, content)
        if layout is not None:
            return layout
    if is_chosen and documents and documents[0].is_yaml:
        raise UsageError(
            f"'{show_path(documents[0].name)}' names no folders of this dataset. Pass another file as --split."
        )
    return None


def _read_terratorch(index: FolderIndex, document: Document, content: dict[str, Any]) -> Layout | None:
    """Read `train_data_root`, `train_split`, `img_grep` and their like, wherever they lie in the file."""
    options = next((o for o in _iter_mappings(content) if any(key.startswith("train_data_root") for key in o)), None)
    if options is None:
        return None
    builder = LayoutBuilder(index, f"a TerraTorch configuration ({show_path(document.name)})")
    pattern = str(options.get("img_grep") or options.get("image_grep") or "*")
    label_pattern = str(options.get("label_grep") or "")
    for subset in _SUBSETS:
        root = options.get(f"{subset}_data_root")
        folder = _find_folder(index, str(root)) if root else None
        if folder is None:
            if root:
                builder.notes.append(f"the folder '{show_path(str(root))}' of {subset} is not in the audited folder")
            continue
        images = [
            path
            for path in _list_below(index.images, folder)
            if _fits_pattern(path, pattern)
            and not (label_pattern and label_pattern != "*" and _fits_pattern(path, label_pattern))
        ]
        _add_selected(builder, images, subset, options.get(f"{subset}_split"), document)
    layout = builder.build_layout()
    return layout if layout.has_split else None


def _add_selected(builder: LayoutBuilder, images: list[str], subset: str, split: Any, document: Document) -> None:
    """Add the images of a folder; with a split file, those whose names contain one of its lines, as TerraTorch does."""
    if split:
        lines = _read_list(builder.index, str(split))
        if lines is None:
            builder.add_finding(
                "missing file", Severity.FAULT, str(split), f"{document.name} names it as the split file of {subset}"
            )
            return
        wanted = {line.rpartition(".")[0] or line for line in lines}
        names = {path: path.rpartition("/")[2] for path in images}
        exact = {name: path for path, name in names.items()}
        images = sorted(
            {exact[line] for line in lines if line in exact}
            | {path for path, name in names.items() if any(name.startswith(w) or w in name for w in wanted)}
        )
    for path in images:
        builder.add_sample(Sample(path, subset))


def _read_list(index: FolderIndex, name: str) -> list[str] | None:
    matches = [path for path in index.documents if f"/{path}".endswith(f"/{_keep_known(name)}") or name.endswith(path)]
    if not matches:
        return None
    try:
        lines = Document(index.root / matches[0], matches[0]).read_lines()
    except DocumentError:
        return None
    return [line.strip() for line in lines if line.strip()]


def _keep_known(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _read_yolo(index: FolderIndex, document: Document, content: dict[str, Any]) -> Layout | None:
    if "train" not in content or not {"names", "nc"} & content.keys():
        return None
    builder = LayoutBuilder(index, f"a YOLO dataset ({show_path(document.name)})")
    for subset in _SUBSETS:
        sources = content.get(subset)
        for source in sources if isinstance(sources, list) else [sources]:
            if isinstance(source, str):
                _add_yolo_source(builder, document, subset, source)
    layout = builder.build_layout()
    return layout if layout.has_split else None


def _add_yolo_source(builder: LayoutBuilder, document: Document, subset: str, source: str) -> None:
    index = builder.index
    if source.endswith(".txt"):
        for line in _read_list(index, source) or []:
            builder.add_entry(line, subset, document.folder_name, source)
        return
    folder = _find_folder(index, source, document.folder_name)
    if folder is None:
        builder.notes.append(f"the folder '{show_path(source)}' of {subset} is not in the audited folder")
        return
    texts = set(index.documents)
    for path in _list_below(index.images, folder):
        annotations, extent = _read_yolo_labels(builder, texts, path)
        builder.add_sample(Sample(path, subset, annotations=annotations, box_extent=extent))


def _read_yolo_labels(builder: LayoutBuilder, texts: set[str], path: str) -> tuple[str | None, BoxExtent | None]:
    """Read the objects of an image, in parts of its size; a box that leaves the image is a finding."""
    folder, _, name = path.rpartition("/")
    parts = ["labels" if part == "images" else part for part in folder.split("/")]
    label = "/".join([*parts, f"{name.rpartition('.')[0]}.txt"])
    if label not in texts:
        return None, None
    try:
        lines = Document(builder.index.root / label, label).read_lines()
    except DocumentError as error:
        builder.add_finding("unreadable annotations", Severity.FAULT, label, str(error))
        return None, None
    for number, line in enumerate(lines, 1):
        values = line.split()
        if values and not _is_inside_image(values):
            builder.add_finding("box out of image", Severity.FAULT, f"{label}, line {number}", f"'{line[:80]}'")
    return "\n".join(sorted(line.strip() for line in lines if line.strip())), None


def _is_inside_image(values: Sequence[str]) -> bool:
    try:
        numbers = [float(value) for value in values[1:]]
    except ValueError:
        return False
    if len(numbers) == 4:
        x, y, width, height = numbers
        return min(x - width / 2, y - height / 2) >= -0.01 and max(x + width / 2, y + height / 2) <= 1.01
    return len(numbers) >= 4 and all(-0.01 <= number <= 1.01 for number in numbers)


def _iter_mappings(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a mapping and all mappings in it, from the outermost."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        yield {str(key): item for key, item in value.items()}
        for item in value.values():
            yield from _iter_mappings(item, depth + 1)
    elif isinstance(value, list):
        for item in value[:_MAX_PATTERNS]:
            yield from _iter_mappings(item, depth + 1)


def _find_folder(index: FolderIndex, name: str, base: str = "") -> str | None:
    """Return the folder of the dataset that a configuration means: the one with the longest equal end of its path."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    folders = {folder for path in index.images for folder in _list_parents(path)}
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        for candidate in (f"{base}/{tail}" if base else tail, tail):
            if candidate in folders:
                return candidate
        matches = sorted(folder for folder in folders if folder.endswith(f"/{tail}"))
        if matches:
            return matches[0]
    return "" if not parts or parts[-1] == index.root.name else None


def _list_parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _list_below(paths: Sequence[str], folder: str) -> list[str]:
    return [path for path in paths if not folder or path.startswith(f"{folder}/")]


def _fits_pattern(path: str, pattern: str) -> bool:
    """Return whether the name of a path fits a pattern, or its end if the pattern has folders."""
    return fnmatchcase(path.rpartition("/")[2], pattern.rpartition("/")[2] or "*")
