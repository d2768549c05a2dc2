"""Read a YOLO folder: label files of boxes, corners of oriented boxes (OBB) and polygons, relative to the images."""

import math
from pathlib import Path, PurePosixPath
from typing import Any, Final

from geographer.base.atomic_files import translate_os_errors
from geographer.base.errors import NotFoundError, UsageError
from geographer.operations.add.annotations.shapes import AnnotatedImage, Annotations, ShapeCollector

_LABELS: Final = "labels"
_NAME_FILES: Final = ("classes.txt", "obj.names", "labels.txt")
_LISTS: Final = (*_NAME_FILES, "train.txt", "val.txt", "test.txt", "readme.txt", "notes.txt")
"""Text files beside the label files that are none."""
_BOX: Final = 5


def list_yolo_files(folder: Path) -> list[Path]:
    """Return the files of a YOLO folder that are read, sorted: label files and those with the names of the classes."""
    return [*_list_name_files(folder), *_list_label_files(folder)]


def read_yolo(folder: Path) -> Annotations:
    """Return the annotations of a YOLO folder: label files in folders called `labels`, or in the folder itself.

    A line is `class x y width height` (centre and size), or `class x1 y1 x2 y2 …` (the corners of an oriented box or
    the points of a polygon), as fractions of the image's width and height; one more number is the score.

    Raises:
        NotFoundError: There are no label files, or no file with the names of the classes.
        UsageError: A file cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"'{folder}' is a file. Name the folder with the label files.")
    files = _list_label_files(folder)
    if not files:
        raise NotFoundError(f"'{folder}' has no label files (labels/**/*.txt). Name the folder of the YOLO dataset.")
    classes = _read_class_names(folder)
    result, shapes, scores = Annotations(is_relative=True), ShapeCollector(), list[dict[str, Any]]()
    for file in files:
        image = len(result.images)
        result.images.append(AnnotatedImage(_make_image_name(folder, file), 1, 1))
        for number, line in enumerate(_read_text(file).splitlines(), 1):
            if line.strip():
                name = f"{file.relative_to(folder).as_posix()}:{number}"
                scores.append(_add_line(result, shapes, classes, image, name, line))
    shapes.set_shapes(result)
    result.set_properties(scores)
    return result


def _list_label_files(folder: Path) -> list[Path]:
    with translate_os_errors(folder):
        files = [file for file in sorted(folder.rglob("*.txt")) if file.name.lower() not in _LISTS]
    labels = [file for file in files if _LABELS in file.relative_to(folder).parts[:-1]]
    return labels or files


def _list_name_files(folder: Path) -> list[Path]:
    yaml_files = [*folder.glob("*.yaml"), *folder.glob("*.yml")]
    places = (folder / name for name in (*_NAME_FILES, *(f"{_LABELS}/{name}" for name in _NAME_FILES)))
    return [*sorted(yaml_files), *(place for place in places if place.is_file())]


def _make_image_name(folder: Path, file: Path) -> str:
    parts = [part for part in file.relative_to(folder).with_suffix("").parts if part != _LABELS]
    return str(PurePosixPath(*parts))


def _read_text(file: Path) -> str:
    with translate_os_errors(file):
        try:
            return file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UsageError(f"cannot read '{file}': it is not text in UTF-8. Correct or remove the file.") from error


def _read_class_names(folder: Path) -> dict[int, str]:
    for file in _list_name_files(folder):
        if file.suffix in (".yaml", ".yml"):
            if names := _read_yaml_names(file):
                return names
        else:
            return _read_listed_names(file)
    raise NotFoundError(
        f"'{folder}' has no names of the classes. Add data.yaml with 'names: [lake, pond]', or classes.txt with a name "
        "a line, in the order of the class numbers."
    )


def _read_listed_names(file: Path) -> dict[int, str]:
    """Return the class names of a text file, numbered by its lines; blank lines may be at its end only."""
    names = [line.strip() for line in _read_text(file).rstrip().splitlines()]
    if "" in names:
        raise UsageError(
            f"'{file}': line {names.index('') + 1} is blank, and the number of a class is that of its line. Write the "
            "name there, or remove the line if the label files do not count it."
        )
    return dict(enumerate(names))


def _read_yaml_names(file: Path) -> dict[int, str]:
    """Return the class names of a YAML file, a list or numbered ones; empty if it has none."""
    import yaml

    try:
        content = yaml.safe_load(_read_text(file))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"cannot read '{file}': {' '.join(str(error).split())}. Correct the file.") from error
    names = content.get("names") if isinstance(content, dict) else None
    if names is None:
        return {}
    numbered = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(numbered, dict) or not all(
        isinstance(number, int) and isinstance(name, str | int) for number, name in numbered.items()
    ):
        raise UsageError(f"'{file}': names is neither a list of names nor numbered names. Correct the file.")
    return {number: str(name) for number, name in numbered.items()}


def _add_line(
    result: Annotations, shapes: ShapeCollector, classes: dict[int, str], image: int, name: str, line: str
) -> dict[str, Any]:
    """Add the annotation of a line, and return its properties."""
    numbers = _parse_numbers(line)
    known = bool(numbers) and numbers[0] in classes
    row = result.add_annotation(image, classes[int(numbers[0])] if known else "", name)
    if not numbers:
        shapes.problems[row] = "it has something other than numbers"
        return {}
    if not known:
        shapes.problems[row] = f"its class {numbers[0]:g} has no name in the list of {len(classes)} classes"
        return {}
    score = numbers.pop() if len(numbers) > _BOX and len(numbers) % 2 == 0 else None
    if score is not None and not math.isfinite(score):
        shapes.problems[row] = "its score is not finite"
        return {}
    if len(numbers) == _BOX:
        x, y, width, height = numbers[1:]
        shapes.add_box(row, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    elif len(numbers) < _BOX:
        shapes.problems[row] = "it has fewer than 5 numbers"
    else:
        shapes.add_polygon(row, numbers[1:])
    return {} if score is None else {"score": score}


def _parse_numbers(line: str) -> list[float]:
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        return []
