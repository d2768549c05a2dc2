"""The recipe of added labels: it names the collection and what the pixels mean, and retires labels that do not fit."""

from typing import Annotated, ClassVar, Final

from geographer.base.parameters import Parameter
from geographer.base.values import LabelForm, validate_name
from geographer.operations.add.events import LabelsAdded
from geographer.planning.class_values import MAX_MASK_VALUE
from geographer.planning.collections import require_collection
from geographer.planning.label_files import LABEL_FILES, count_unlabelled, list_unfit_labels
from geographer.planning.recipe import Recipe
from geographer.planning.removed_rasters import make_removed_rows
from geographer.planning.shared_parameters import NAME_SCHEMA
from geographer.planning.up_to_date_labels import LabelSettings, UpToDateLabels
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext

_FITTING_LABELS: Final = (
    "SELECT label, raster_id, NULL::DOUBLE AS west, NULL::DOUBLE AS south, NULL::DOUBLE AS east, "
    "NULL::DOUBLE AS north, NULL::DOUBLE AS lon_shift, false AS by_order, false AS by_name "
    "FROM current_label WHERE label = $name AND NOT list_contains($ids::VARCHAR[], raster_id) ORDER BY raster_id"
)
_NO_ORDER: Final = (
    "SELECT NULL::VARCHAR AS label, NULL::VARCHAR AS raster_id, NULL::VARCHAR AS feature_id, "
    "NULL::BIGINT AS order_index WHERE false"
)

CollectionOfLabels = Annotated[
    str, Parameter("The collection of the rasters that the files are labels of.", "NAME", schema=NAME_SCHEMA)
]
_FORM_HELP: Final = (
    "What files have: mask, one band of class values; multilabel, a band of 0 and 1 for each class; probabilities, a "
    "band from 0 to 1 for each class."
)
Form = Annotated[LabelForm, Parameter(_FORM_HELP)]
_IGNORE_HELP: Final = "The value of pixels that training is to ignore."
Ignore = Annotated[int | None, Parameter(_IGNORE_HELP, "VALUE", minimum=1, maximum=MAX_MASK_VALUE)]


class LabelFiles(Recipe, kw_only=True, frozen=True):
    """Keep the labels that were added as files.

    `update` makes none. It retires those whose raster left the collection, or has another grid than the file.
    """

    kind: ClassVar[str] = LABEL_FILES
    event: ClassVar[type[LabelsAdded]] = LabelsAdded
    example: ClassVar[str] = "add labels masks/ --label mask --collection source"

    collection: CollectionOfLabels
    form: Form = "mask"
    ignore: Ignore = None

    @property
    def ignores_class_names(self) -> bool:
        """See `Recipe.ignores_class_names`: no file is made again."""
        return True

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the removal of labels that do not fit their rasters any more; `NotFoundError` without the collection."""
        validate_name("label", self.name)
        require_collection(revision, self.collection)
        unfit = list_unfit_labels(revision, [self.name])
        rows = make_removed_rows("label_change", unfit) if unfit else None
        event = LabelsAdded(
            recipe=self.to_record(),
            labels=0,
            unchanged=0,
            skipped=0,
            retired=len(unfit),
            unlabelled=count_unlabelled(revision, self.name, self.collection) + len(unfit),
        )
        return Change(event, {"label_change": rows} if rows is not None else {})

    def find_up_to_date_labels(self, revision: Revision) -> UpToDateLabels:
        """See `LabelSource`: labels of files depend on no feature, so they have no box."""
        unfit = [raster_id for _, raster_id in list_unfit_labels(revision, [self.name])]
        labels = revision.fetch_arrow(_FITTING_LABELS, {"name": self.name, "ids": unfit})
        return UpToDateLabels(labels, revision.fetch_arrow(_NO_ORDER), {self.name: LabelSettings()})
