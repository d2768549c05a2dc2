"""Labels of a GeoGrapher 1.0 directory: files with the names of rasters, categorical or soft-categorical."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import GeographerError, quote_names
from geographer.base.text import format_count
from geographer.base.values import LabelForm
from geographer.operations.add.geographer_directory import GeographerDirectory
from geographer.operations.add.label_files import (
    CheckedLabelFile,
    RasterToLabel,
    check_label_files,
    require_new_label_paths,
    write_labels,
)
from geographer.operations.add.label_recipe import LabelFiles
from geographer.operations.add.labels import list_band_names, make_label_pixels
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change

if TYPE_CHECKING:
    from geographer.rasters.labels import LabelPixels

_MAX_REASONS: Final = 3
_NO_RASTER: Final = "no imported raster has its name"


class ImportedLabels(NamedTuple):
    """Labels to import: recipe, files and what their pixels mean; the number of files that are left out, and why."""

    recipe: LabelFiles | None
    files: list[CheckedLabelFile]
    target: "LabelPixels | None"
    left_out: int
    warnings: list[str]

    @property
    def recipe_record(self) -> RecipeRecord | None:
        """The recipe as an event records it."""
        return None if self.recipe is None else self.recipe.to_record()


class _Candidate(NamedTuple):
    """What label files can be: the files that are that, and those that are not, with reasons."""

    recipe: LabelFiles
    target: "LabelPixels"
    files: list[CheckedLabelFile]
    skipped: list[tuple[str, str]]


def plan_geographer_labels(
    revision: Revision,
    directory: GeographerDirectory,
    rasters: Mapping[str, RasterToLabel],
    classes: Mapping[str, int],
    label: str,
) -> ImportedLabels:
    """Choose what the label files are: the form that most of them have; others are left out, with a warning.

    `rasters` are those to import with a file, by the name that the directory has for them; `classes` have the values
    that the dataset gives them.
    """
    folder = directory.path / "labels"
    names = directory.list_files("labels")
    matched = {rasters[name].raster_id: folder / name for name in names if name in rasters}
    skipped = [(name, _NO_RASTER) for name in names if name not in rasters]
    try:
        chosen = _choose_candidate(revision, directory, rasters, classes, matched, label) if matched else None
    except GeographerError as error:
        chosen, skipped = None, [(name, str(error)) for name in names]
    skipped += chosen.skipped if chosen else []
    warnings = [_describe_skipped(skipped)] if skipped else []
    if chosen is None or not chosen.files:
        return ImportedLabels(None, [], None, len(skipped), warnings)
    return ImportedLabels(chosen.recipe, chosen.files, chosen.target, len(skipped), warnings)


def _choose_candidate(
    revision: Revision,
    directory: GeographerDirectory,
    rasters: Mapping[str, RasterToLabel],
    classes: Mapping[str, int],
    matched: Mapping[str, Path],
    label: str,
) -> _Candidate:
    """Return what most files are; `GeographerError` if labels cannot be added, e.g. as the name is taken."""
    by_id = {raster.raster_id: raster for raster in rasters.values()}
    require_new_label_paths(label, (by_id[raster_id] for raster_id in matched), ())
    collection = by_id[next(iter(matched))].collection
    candidates = []
    for form, target in _iter_targets(directory, classes, label, collection):
        files, skipped = check_label_files(matched, by_id, target, "They are no classes.", skips_invalid=True)
        recipe = LabelFiles(label, collection=collection, form=form)
        candidates.append(_Candidate(recipe, target, files, skipped))
    chosen = max(candidates, key=lambda candidate: len(candidate.files))
    chosen.recipe.check_revision(revision)
    return chosen


def _iter_targets(
    directory: GeographerDirectory, classes: Mapping[str, int], label: str, collection: str
) -> "Iterator[tuple[LabelForm, LabelPixels]]":
    """Yield what files can be: masks; probabilities of the task classes; those after a band of the background."""
    names = [name for name in directory.classes if name != directory.background]
    values = {str(number): name for number, name in enumerate(names, start=1)}
    mask = make_label_pixels(classes, LabelFiles(label, collection=collection), {"0": None, **values})
    yield "mask", mask
    bands = list_band_names(classes)
    soft = make_label_pixels(classes, LabelFiles(label, collection=collection, form="probabilities"), {})
    for offset in (0, 1):
        order = tuple(names.index(band) + offset if band in names else None for band in bands)
        yield "probabilities", soft._replace(file_bands=(len(names) + offset, order))


def _describe_skipped(skipped: Sequence[tuple[str, str]]) -> str:
    """Return a warning about label files (name, reason) that are not imported, with the most frequent reasons."""
    names, reasons = zip(*skipped, strict=True)
    frequent = Counter(reasons).most_common(_MAX_REASONS)
    texts = "; ".join(reason.rstrip(".") + (f" ({count:,})" if count > 1 else "") for reason, count in frequent)
    return f"{format_count(len(names), 'label file')} not imported ({quote_names([*names])}): {texts}"


class GeographerImportChange:
    """The change of an import, with labels to write."""

    def __init__(self, change: Change, labels: ImportedLabels) -> None:
        self._change, self._labels = change, labels
        self.event: Any = change.event

    @property
    def is_empty(self) -> bool:
        """Whether the event would say nothing."""
        return self._change.is_empty

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Write the labels into the staging folder, and return the change with them; raise as `write_labels`."""
        change = self._change.build_outputs(context)
        recipe, files, target, *_ = self._labels
        if recipe is None or target is None:
            return change
        folder = Path(context.staging) / "labels"
        folder.mkdir()
        written = write_labels(recipe.name, files, {}, target, folder, context.progress)
        return replace(change, rows={**change.rows, **written.rows}, files=[*change.files, *written.files])
