"""`label mask`, `label instances`, `label multilabel`: rasters of integers."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.operations.label.base import LabelRecipe, list_band_classes, stage_feature_drawing
from geographer.operations.label.events import HIDDEN, SUBPIXEL, make_payload_rules
from geographer.operations.label.tasks import Overlap
from geographer.planning.class_values import MAX_MASK_VALUE, choose_mask_dtype, read_class_values
from geographer.planning.up_to_date_labels import LabelSettings, UpToDateLabels
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.empty_selection import describe_empty_selection
from geographer.storage.queries.revision import Revision

logger = logging.getLogger(__name__)

_IGNORED: Final = (
    "SELECT feature_id::VARCHAR AS feature_id, true AS ignored, NULL::DOUBLE[] AS probabilities FROM features WHERE "
)
_ORDERS: Final = (
    "smallest-on-top: the one with the smaller area in pixels (lines and points have none); newest: the one added "
    "last, which also decides ties."
)


class LabelMask(LabelRecipe, kw_only=True, frozen=True):
    """Make a class mask for each raster: one class value per pixel, 0 for background.

    A polygon fills the pixels whose centres it contains; a polygon that contains none fills the pixel of its
    representative point, and the summary counts it as 'smaller than a pixel'. This is decided for the whole object, so
    a chip's mask equals the chip's window in the mask of its parent raster. The background class erases what lies below
    it. The mask has one band, uint8, or uint16 if a class value or the ignored value is above 255, and no nodata value.
    Training is to ignore pixels without valid data (by nodata, alpha or mask band) if --ignore gives them a value.
    """

    kind: ClassVar[str] = "label mask"
    renderer: ClassVar[str] = "rasterize:render_masks"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("masks", "dtype", notes=(SUBPIXEL,))
    noun: ClassVar[Literal["masks", "labels"]] = "masks"
    example: ClassVar[str] = "label mask mask --collection chips --ignore 255"

    overlap: Annotated[
        Overlap, Parameter(f"Which object is on top; class-order: the one whose class has the larger value; {_ORDERS}")
    ] = "class-order"
    all_touched: Annotated[bool, Parameter("Burn every pixel that an object touches.")] = False
    ignore: Annotated[
        int | None,
        Parameter("The value of pixels without valid data, over all else.", "VALUE", minimum=1, maximum=MAX_MASK_VALUE),
    ] = None
    ignore_where: Annotated[
        str | None, Parameter("Also ignore features for which this SQL expression is true.", "SQL", "no features")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ignore_where is not None and self.ignore is None:
            raise UsageError("--ignore-where needs a value to burn. Pass --ignore VALUE, too.")

    @property
    def reads_pixels(self) -> bool:
        """See `LabelRecipe.reads_pixels`."""
        return self.ignore is not None

    @property
    def depends_on_order(self) -> bool:
        """See `LabelRecipe.depends_on_order`."""
        return self.overlap != "class-order"

    @property
    def ignores_class_names(self) -> bool:
        """See `Recipe.ignores_class_names`; an SQL expression may depend on names."""
        return self.ignore_where is None

    def determine_settings(self, revision: Revision) -> LabelSettings:
        """Return the dtype; raise `UsageError` if a value exceeds uint16, or `ignore` is the value of a class."""
        return LabelSettings(dtype=choose_mask_dtype(read_class_values(revision), self.ignore))

    def stage_feature_columns(self, revision: Revision) -> None:
        """Stage which features are ignored."""
        if self.ignore_where is None:
            super().stage_feature_columns(revision)
            return
        with translate_sql_errors(self.ignore_where, "--ignore-where"):
            condition = revision.validate_filter("features", self.ignore_where, "--ignore-where")
            stage_feature_drawing(revision, _IGNORED + condition)
        if not revision.fetch_rows("FROM feature_drawing LIMIT 1"):
            text = describe_empty_selection(revision, "features", self.ignore_where, "--ignore-where")
            logger.warning("%s", text or "the dataset has no feature for --ignore-where")

    def find_up_to_date_labels(self, revision: Revision) -> UpToDateLabels | None:
        """See `LabelSource`; an SQL expression may depend on anything."""
        return None if self.ignore_where is not None else super().find_up_to_date_labels(revision)


class LabelInstances(LabelRecipe, kw_only=True, frozen=True):
    """Make a raster with a number per object; 'geographer objects' lists the objects.

    Objects are numbered 1 to n in each raster, in the order in which they were added; 0 is no object, and the
    background class erases. The label has one band, uint16, or uint32 if a raster shows more than 65,535 objects. Only
    visible objects get a number; `objects` lists each with its class and number of pixels, and the summary counts
    hidden objects.
    """

    kind: ClassVar[str] = "label instances"
    renderer: ClassVar[str] = "rasterize:render_instances"
    lists_objects: ClassVar[bool] = True
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("labels", notes=(SUBPIXEL, HIDDEN))
    example: ClassVar[str] = "label instances instances --collection chips"

    overlap: Annotated[Literal["smallest-on-top", "newest"], Parameter(f"Which object is on top; {_ORDERS}")] = (
        "smallest-on-top"
    )

    @property
    def ignores_class_names(self) -> bool:
        """See `Recipe.ignores_class_names`."""
        return True


class LabelMultilabel(LabelRecipe, kw_only=True, frozen=True):
    """Make a raster with one band of 0 and 1 per class, so that classes may overlap.

    There is a uint8 band for each class with a value above 0, in order of value, named after the class. The background
    class erases in all bands.
    """

    kind: ClassVar[str] = "label multilabel"
    renderer: ClassVar[str] = "rasterize:render_multilabels"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("labels", "bands", notes=(SUBPIXEL,))
    example: ClassVar[str] = "label multilabel classes --collection chips"

    def determine_settings(self, revision: Revision) -> LabelSettings:
        """Return the names of the bands."""
        return LabelSettings(bands=list_band_classes(revision))
