"""Add labels: take existing masks as labels of a collection of rasters, and plan the `labels_added` event."""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.base.text import format_count
from geographer.base.values import Grid, Transform, validate_name
from geographer.operations.add.events import LabelsAdded
from geographer.operations.add.features import Replace
from geographer.operations.add.label_files import (
    CheckedLabelFile,
    ExistingLabel,
    MatchedFiles,
    RasterToLabel,
    check_label_files,
    match_label_files,
    require_new_label_paths,
    strip_affixes,
    write_labels,
)
from geographer.operations.add.label_recipe import CollectionOfLabels, Form, Ignore, LabelFiles
from geographer.operations.add.raster_files import list_raster_files
from geographer.operations.add.rasters import PATTERNS, RasterPaths
from geographer.planning.class_values import choose_mask_dtype, read_class_values
from geographer.planning.collections import require_pixels
from geographer.planning.input_problems import make_skipped_rows, omit_lone_skips
from geographer.planning.label_files import count_unlabelled
from geographer.planning.recipe import find_recipe
from geographer.planning.shared_parameters import NAME_SCHEMA, OnError, list_values
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext

if TYPE_CHECKING:
    from geographer.rasters.labels import LabelPixels

logger = logging.getLogger(__name__)

_RASTERS: Final = (
    "SELECT raster_id, collection, crs, transform, width, height FROM current_raster "
    "WHERE collection = $collection AND storage <> 'catalogue' ORDER BY raster_id"
)
_LABELS: Final = "SELECT raster_id, path, sha256, pixel_digest FROM current_label WHERE label = $label"
_SHOWN: Final = 3
_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,20}")

ClassByValue = Mapping[str, str | None]
"""The class of each value in files; None: the background."""


def parse_class_by_value(values: Any) -> dict[str, str | None]:
    """Return the classes of values, given as a mapping, or as texts such as `1=lake,2=quarry,3=`; else `UsageError`."""
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, Mapping):
        if not isinstance(values, Iterable):
            raise UsageError(f"invalid --values '{values}'. Use VALUE=CLASS, e.g. 1=lake,2=quarry.")
        pairs = [pair for text in values for pair in str(text).split(",") if pair.strip()]
        if any("=" not in pair for pair in pairs):
            raise UsageError(f"invalid --values '{','.join(pairs)}'. Use VALUE=CLASS, e.g. 1=lake,2=quarry.")
        values = [tuple(map(str.strip, pair.split("=", 1))) for pair in pairs]
    found: dict[str, str | None] = {}
    for value, name in dict(values).items() if isinstance(values, Mapping) else values:
        text = str(value)
        if not _WHOLE_NUMBER.fullmatch(text):
            raise UsageError(f"invalid value '{text}' in --values. Use a whole number, e.g. 1=lake.")
        if (number := str(int(text))) in found:
            raise UsageError(f"--values names value {number} twice. Give each value one class.")
        found[number] = str(name) if name else None
    return found


_VALUES_SCHEMA: Final = {
    "type": "object",
    "propertyNames": {"pattern": "^(0|-?[1-9][0-9]*)$"},
    "additionalProperties": {"type": ["string", "null"], "minLength": 1},
}
_VALUES: Final = Parameter(
    "The classes of the values in the files of masks; 7= makes value 7 background.",
    *("VALUE=CLASS,…", "the values of the dataset's classes", "", parse_class_by_value),
    schema=_VALUES_SCHEMA,
)
_PREFIX: Final = Parameter("What the files' names have before those of the rasters; others are passed over.", "TEXT")
_SUFFIX: Final = _PREFIX._replace(
    help="What the files' names have after those of the rasters, e.g. _mask; others are passed over."
)


class AddLabels(RasterPaths, kw_only=True, frozen=True):
    """Add existing masks as labels of a collection of rasters.

    A file belongs to the raster that has its name, in whichever folder. It must be on the raster's grid; one without
    CRS and transform, such as a PNG, must have the raster's size. The values of masks are those of the dataset's
    classes, or of those that --values names; 0 is background. The labels are stored as GeoTIFFs as other labels are.

    Equal files are not recorded again. Chips that are cut from these rasters, now or later, get their part of the
    label; for chips that exist, run update. To end it: remove labels.
    """

    event: ClassVar[type[LabelsAdded]] = LabelsAdded
    example = "add labels masks/ --label mask --collection s2 --suffix _mask"

    label: Annotated[str, Parameter("The name of the label.", "NAME", schema=NAME_SCHEMA)]
    collection: CollectionOfLabels
    form: Form = "mask"
    values: Annotated[str | Iterable[str] | Mapping[Any, str | None], _VALUES] = {}
    ignore: Ignore = None
    prefix: Annotated[str | None, _PREFIX] = None
    suffix: Annotated[str | None, _SUFFIX] = None
    patterns: Annotated[str | Iterable[str], PATTERNS] = ()
    on_error: OnError = "fail"
    replace: Replace = False

    def make_plan(self, revision: Revision, context: PlanContext, /) -> "LabelAddition":
        """Plan the addition; every file is read.

        Raises:
            NotFoundError: A file or the collection does not exist, or no file has the name of a raster.
            UsageError: A file is not on the grid of its raster, or has values of no class.
            ConflictError: A label differs from that which the raster has, or the name is taken; or other labels of the
                name have other bands, because classes were added since.
            CorruptError: A file is damaged.
        """
        recipe = self._require_recipe(revision)
        classes = read_class_values(revision)
        target = make_label_pixels(classes, recipe, parse_class_by_value(self.values))
        rasters = {raster.raster_id: raster for raster in _read_rasters(revision, self.collection)}
        matched = self._match_files(rasters)
        existing = {id: ExistingLabel(*row) for id, *row in revision.fetch_rows(_LABELS, {"label": self.label})}
        labelled = [rasters[raster_id] for raster_id in matched.files]
        require_new_label_paths(self.label, labelled, (item.path for item in existing.values()))
        advice = describe_known_values(classes, target, maps_values=bool(self.values))
        skips = self.on_error == "skip"
        checked, skipped = check_label_files(matched.files, rasters, target, advice, skips_invalid=skips)
        skipped += [
            (file.name, f"no raster of collection '{self.collection}' has its name") for file in matched.unmatched
        ]
        changed = [file for file in checked if _has_other_pixels(file, existing)]
        kept = existing.keys() & rasters.keys() - {file.raster.raster_id for file in checked}
        self._require_same_bands(target, [context.root / existing[raster_id].path for raster_id in sorted(kept)])
        self._reject_replacing([file for file in changed if file.raster.raster_id in existing])
        new = {file.raster.raster_id for file in changed}.difference(existing)
        unlabelled = count_unlabelled(revision, self.label, self.collection) - len(new)
        self._warn_of_unlabelled(rasters.keys() - existing.keys() - new)
        event = LabelsAdded(
            recipe=recipe.to_record(),
            labels=len(changed),
            unchanged=len(checked) - len(changed),
            skipped=len(skipped),
            retired=0,
            unlabelled=unlabelled,
        )
        rows = make_skipped_rows(f"label {self.label}", skipped)
        if not changed:
            rows = dict(omit_lone_skips(f"label {self.label}", rows))
        return LabelAddition(self.label, Change(event, rows), changed, existing, target)

    def _require_recipe(self, revision: Revision) -> LabelFiles:
        """Return the recipe of the label; raise if its name is taken, or has other parameters, or without rasters."""
        validate_name("label", self.label)
        require_pixels(revision, self.collection)
        recipe = LabelFiles(self.label, collection=self.collection, form=self.form, ignore=self.ignore)
        recorded = find_recipe(revision, self.label)
        if isinstance(recorded, LabelFiles) and not recorded.has_same_parameters(recipe):
            raise ConflictError(
                f"label '{self.label}' was added{recorded.describe_differences(recipe)}. Pass the same, choose another "
                f"--label, or end it first: geographer remove labels {self.label}"
            )
        if recorded is not None and not isinstance(recorded, LabelFiles):
            raise ConflictError(f"'{self.label}' is the name of a {recorded.kind} recipe. Choose another --label.")
        if recorded is None and revision.fetch_rows(f"{_LABELS} LIMIT 1", {"label": self.label}):
            raise ConflictError(
                f"a command made labels '{self.label}'. Choose another --label, or end them first: geographer remove "
                f"labels {self.label}"
            )
        if revision.fetch_rows(_RASTERS, {"collection": self.label}):
            raise ConflictError(f"'{self.label}' is the name of a collection. Choose another --label.")
        return recipe

    def _match_files(self, rasters: Mapping[str, RasterToLabel]) -> MatchedFiles:
        files = list_raster_files(list_values(self.paths), list_values(self.patterns))
        stems = strip_affixes(files, self.prefix or "", self.suffix or "")
        if others := len(files) - len(stems):
            logger.warning("passed over %s without the --prefix or --suffix", format_count(others, "file"))
        matched = match_label_files(stems, rasters)
        if not matched.files:
            options = "Check --collection, or pass the --prefix and --suffix that the files' names have besides."
            names = quote_names([file.name for file in files], _SHOWN)
            raise NotFoundError(
                f"no file has the name of a raster of collection '{self.collection}': files are {names}, rasters are "
                f"{quote_names([*rasters], _SHOWN) or 'none'}. {options}"
            )
        if matched.unmatched and self.on_error == "fail":
            names = quote_names([str(file) for file in matched.unmatched], _SHOWN)
            raise NotFoundError(
                f"{len(matched.unmatched):,} of {format_count(len(stems), 'file')} have the name of no raster of "
                f"collection '{self.collection}': {names}. Leave them out, or pass --on-error skip."
            )
        return matched

    def _reject_replacing(self, files: list[CheckedLabelFile]) -> None:
        if files and not self.replace:
            rasters = quote_objects("raster", [file.raster.raster_id for file in files], "has|have")
            raise ConflictError(
                f"{rasters} another label '{self.label}' than '{files[0].path}'. Pass --replace to replace it."
            )

    def _require_same_bands(self, target: "LabelPixels", kept: Iterable[Path]) -> None:
        """Raise if the labels at these paths have another number of bands; the first that is there tells it of all."""
        from geographer.rasters.read import open_raster

        path = next((path for path in kept if target.bands and path.exists()), None)
        if path is None:
            return
        with open_raster(path, with_sidecars=False) as file:
            count = file.count
        if count != len(target.bands):
            raise ConflictError(
                f"labels '{self.label}' have {format_count(count, 'band')}, but the dataset has "
                f"{format_count(len(target.bands), 'class')}. Choose another --label, or pass the files of "
                "all rasters with --replace."
            )

    def _warn_of_unlabelled(self, raster_ids: Iterable[str]) -> None:
        if ids := sorted(raster_ids):
            count, names = format_count(len(ids), "raster"), quote_names(ids, _SHOWN)
            logger.warning("%s of collection '%s' without a label '%s': %s", count, self.collection, self.label, names)


class LabelAddition:
    """Label files that were checked and are ready to be written; `change` has the event and the other rows."""

    def __init__(
        self,
        label: str,
        change: Change,
        files: list[CheckedLabelFile],
        existing: Mapping[str, ExistingLabel],
        target: "LabelPixels",
    ) -> None:
        self._label, self._change, self._files = label, change, files
        self._existing, self._target = existing, target
        self.event = change.event

    @property
    def is_empty(self) -> bool:
        """Whether no label is new or changed."""
        return not self._files

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Write the labels into the staging folder."""
        args = (self._existing, self._target, context.staging, context.progress)
        written = write_labels(self._label, self._files, *args)
        return Change(self.event, {**self._change.rows, **written.rows}, written.files, move_files=True)


def make_label_pixels(classes: Mapping[str, int], recipe: LabelFiles, class_by_value: ClassByValue) -> "LabelPixels":
    """Return how the pixels of files become those of labels; with classes by value, only their values are known.

    Raises:
        NotFoundError: there is no such class.
        UsageError: the form has no class values, there is no class, or a value does not fit a mask.
    """
    from geographer.rasters.labels import LabelPixels

    bands = list_band_names(classes)
    if not bands:
        raise UsageError(
            "the dataset has no class with a value above 0. Add features, or classes with geographer add classes."
        )
    if recipe.form != "mask":
        for option, is_given in (("--values", class_by_value), ("--ignore", recipe.ignore is not None)):
            if is_given:
                raise UsageError(f"{option} has no effect on labels of the form '{recipe.form}'. Leave it out.")
        return LabelPixels(recipe.form, "uint8" if recipe.form == "multilabel" else "float32", {}, bands)
    if unknown := sorted({name for name in class_by_value.values() if name is not None}.difference(classes)):
        existing = quote_names([*classes])
        raise NotFoundError(
            f"no {quote_objects('class', unknown)}. Existing classes: {existing}. Add it with geographer add classes."
        )
    values = {value: value for value in classes.values()} if not class_by_value else {}
    values |= {int(value): 0 if name is None else classes[name] for value, name in class_by_value.items()}
    values.setdefault(0, 0)
    if recipe.ignore is not None:
        values.setdefault(recipe.ignore, recipe.ignore)
    return LabelPixels("mask", choose_mask_dtype(classes, recipe.ignore), values)


def list_band_names(classes: Mapping[str, int]) -> tuple[str, ...]:
    """Return the classes with values above 0 in order of value: the bands of labels with one band a class."""
    return tuple(name for name, value in sorted(classes.items(), key=lambda item: item[1]) if value > 0)


def describe_known_values(classes: Mapping[str, int], target: "LabelPixels", *, maps_values: bool) -> str:
    """Return which values files may have, and what to do about others."""
    if target.form != "mask":
        return "Bands have 0 and 1."
    names = {value: name for name, value in classes.items()}
    known = ", ".join(
        f"{value} {names.get(meaning, 'background' if meaning == 0 else 'ignored')}"
        for value, meaning in sorted(target.values.items())
    )
    option = "Complete --values" if maps_values else "Say what values mean with --values"
    return (
        f"Known are {known}. {option}, e.g. --values 7=lake, or 7= for background, or pass --ignore VALUE for pixels "
        "without an annotation."
    )


def _read_rasters(revision: Revision, collection: str) -> Iterable[RasterToLabel]:
    for raster_id, name, crs, transform, width, height in revision.fetch_rows(_RASTERS, {"collection": collection}):
        yield RasterToLabel(raster_id, name, Grid(crs, Transform(*transform), width, height))


def _has_other_pixels(file: CheckedLabelFile, existing: Mapping[str, ExistingLabel]) -> bool:
    label = existing.get(file.raster.raster_id)
    return label is None or label.pixel_digest != file.pixel_digest
