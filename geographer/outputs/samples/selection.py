"""Which rasters and labels are samples: of a split and its subsets, a collection; defaults where only one fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.base.python_values import make_python_value
from geographer.outputs.samples.outdated_labels import warn_of_outdated_labels
from geographer.planning.collections import require_pixels
from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import Revision

_SAMPLES: Final = Path(__file__).with_name("samples.sql")
_CHIPS: Final = "SELECT DISTINCT collection FROM current_raster WHERE parent_id IS NOT NULL ORDER BY collection"
_WITH_PIXELS: Final = "SELECT DISTINCT collection FROM current_raster WHERE storage <> 'catalogue' ORDER BY collection"
_SPLITS: Final = (
    "SELECT DISTINCT split FROM current_split SEMI JOIN (SELECT raster_id FROM current_raster "
    "WHERE $collection IS NULL OR collection = $collection) USING (raster_id) ORDER BY split"
)
_PARTS: Final = "SELECT DISTINCT part FROM current_split WHERE split = $split AND part IS NOT NULL ORDER BY ALL"
_LABELS: Final = "SELECT DISTINCT label FROM current_label SEMI JOIN sample USING (raster_id) ORDER BY label"
_ALL_LABELS: Final = "SELECT DISTINCT label FROM current_label ORDER BY label"


class SampleSelection(NamedTuple):
    """Which rasters and labels to take.

    Attributes:
        split: The split whose assigned rasters are taken. None: the only split, of the collection if that is given;
            none if there are several.
        subsets: The parts of the split. None: all.
        collection: The collection. None: those of the split; without a split, the only one of chips, or of rasters.
        labels: The labels. None: all that the rasters have.
    """

    split: str | None = None
    subsets: Sequence[str] | None = None
    collection: str | None = None
    labels: Sequence[str] | None = None


def make_selection(split: Any, subset: Any, collection: Any, labels: Any) -> SampleSelection:
    """Return the selection of a caller: names are texts; subsets and labels are one or many.

    `UsageError` for other values.
    """
    names = {"split": split, "collection": collection}
    for name, value in names.items():
        if value is not None and not isinstance(value, str):
            raise UsageError(f"invalid {name} {value!r}. Use a name.")
    return SampleSelection(split, _read_names("subset", subset), collection, _read_names("labels", labels))


def _read_names(argument: str, value: Any) -> list[str] | None:
    value = make_python_value(value)
    if value is None:
        return None
    names: list[Any] = [value] if isinstance(value, str) else [*value] if isinstance(value, Iterable) else [None]
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"invalid {argument} {value!r}. Use a name, or a list of names.")
    return names


def stage_samples(revision: Revision, selection: SampleSelection) -> SampleSelection:
    """Create the temp table `sample`, and return the selection with the defaults that were chosen.

    Columns of `sample`, ordered by `raster_id`: see `samples.sql`; `path` is relative to the dataset's folder, or leads
    into DVC's cache if `Revision.locate_files` was called. A warning is logged for labels that are outdated.

    Raises:
        NotFoundError: there is no such split, part, collection or label.
        UsageError: several collections or splits fit, or a collection has footprints without pixels only.
    """
    chosen = _choose_collection_and_split(revision, selection)
    parameters = {"split": chosen.split, "collection": chosen.collection}
    parts = None if chosen.subsets is None else [*chosen.subsets]
    run_script(revision.connection, _SAMPLES.read_text(), {**parameters, "parts": parts})
    labels = _choose_labels(revision, selection.labels)
    warn_of_outdated_labels(revision, labels)
    return chosen._replace(labels=labels)


def _choose_collection_and_split(revision: Revision, selection: SampleSelection) -> SampleSelection:
    if selection.collection is not None:
        require_pixels(revision, selection.collection)
    return choose_defaults(
        selection,
        list_splits=lambda collection: _fetch_names(revision, _SPLITS, collection=collection),
        list_parts=lambda split: _fetch_names(revision, _PARTS, split=split),
        choose_collection=lambda: _choose_collection(revision),
    )


def choose_defaults(
    selection: SampleSelection,
    *,
    list_splits: Callable[[str | None], list[str]],
    list_parts: Callable[[str], list[str]],
    choose_collection: Callable[[], str],
) -> SampleSelection:
    """Return a selection with the collection and the split that are chosen where none is given, and check its subsets.

    Args:
        selection: The selection.
        list_splits: Returns the splits of a collection, or all.
        list_parts: Returns the parts of a split.
        choose_collection: Returns the only collection that fits; `UsageError` if there are several.

    Raises:
        NotFoundError: there is no such split or part.
        UsageError: subsets need a split, and there is none, or several.
    """
    split, subsets, collection, labels = selection
    splits = list_splits(collection)
    if collection is None and split is None and len(splits) != 1:
        collection = choose_collection()
        splits = list_splits(collection)
    if split is None:
        if subsets is not None and len(splits) != 1:
            named = f"has the splits {quote_names(splits)}. Name one with --split" if splits else "has no split"
            raise UsageError(f"--subset needs a split, and collection '{collection}' {named}.")
        split = splits[0] if len(splits) == 1 else None
    elif split not in splits:
        where = "" if collection is None else f" of collection '{collection}'"
        raise NotFoundError(f"no split '{split}'{where}. {list_names('splits', splits)}")
    if split is not None and subsets is not None:
        parts = list_parts(split)
        if unknown := [part for part in subsets if part not in parts]:
            raise NotFoundError(f"split '{split}' has no part {quote_names(unknown)}. {list_names('parts', parts)}")
    return SampleSelection(split, subsets, collection, labels)


def _choose_collection(revision: Revision) -> str:
    """Return the only collection of chips, or without chips the only one of rasters."""
    for noun, query in (("chips", _CHIPS), ("rasters", _WITH_PIXELS)):
        names = _fetch_names(revision, query)
        if len(names) == 1:
            return names[0]
        if names:
            raise UsageError(
                f"several collections have {noun}: {quote_names(names)}. Name one with --collection, or a split with "
                "--split."
            )
    raise NotFoundError(f"no raster with pixels at @{revision.position}. Add some with geographer add rasters.")


def _choose_labels(revision: Revision, labels: Sequence[str] | None) -> list[str]:
    if labels is None:
        return _fetch_names(revision, _LABELS)
    if repeated := {name for name in labels if [*labels].count(name) > 1}:
        raise UsageError(f"label {quote_names(sorted(repeated))} is named twice. Name it once.")
    known = _fetch_names(revision, _ALL_LABELS)
    if unknown := [name for name in labels if name not in known]:
        raise NotFoundError(f"no label {quote_names(unknown)} at @{revision.position}. {list_names('labels', known)}")
    return [*labels]


def _fetch_names(revision: Revision, query: str, **parameters: str | None) -> list[str]:
    return [name for (name,) in revision.fetch_rows(query, parameters or None)]


def list_names(noun: str, names: Sequence[str]) -> str:
    """Return a sentence that lists what there is."""
    return f"The {noun} are: {', '.join(names) or 'none yet'}."
