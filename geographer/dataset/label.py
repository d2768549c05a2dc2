"""The methods of `Dataset` that make labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Unpack

from geographer.base.values import parse_line_width
from geographer.dataset.commit import CommitMixin, CommitOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geographer.planning.recipe import Recipe
    from geographer.storage.events import ChangeResult


class _LabelOptions(CommitOptions, total=False):
    """The options that all labels share; `LabelMixin` documents them."""

    width: str | float | None
    workers: int


class LabelMixin(CommitMixin):
    """The part of `Dataset` that labels rasters. Every label has exactly the grid of its raster.

    A recipe that runs again, by itself or through `update`, makes labels that are missing or outdated (features,
    classes or rasters have changed) and retires labels whose rasters have left the collection.

    All methods take the keyword arguments of all changes (see `Dataset`) and:

        name: The recipe's name; its files lie in `labels/<name>/<collection>/` and have the names of their rasters.
        collection: The rasters to label.
        width: The drawn width of lines and points: a number of pixels, or a text, e.g. '3px' or '5m'. Metres are
            converted at the middle of the raster. None: a line covers the pixels along it, a point the pixel that
            contains it.
        workers: The number of processes. A script that sets more than 1 needs an `if __name__ == "__main__"` guard.

    All methods raise:

        NotFoundError: the collection does not exist.
        ConflictError: the name belongs to another recipe or collection.
        UsageError: there is no class, or an option is invalid.
        CorruptError, StorageError: see the message; nothing is recorded.
    """

    def label_masks(
        self,
        name: str,
        *,
        collection: str,
        overlap: Literal["class-order", "smallest-on-top", "newest"] = "class-order",
        all_touched: bool = False,
        ignore: int | None = None,
        ignore_where: str | None = None,
        **shared: Unpack[_LabelOptions],
    ) -> ChangeResult:
        """Rasterize a class mask for each raster: one class value per pixel, 0 where there is no object.

        A polygon fills the pixels whose centres it contains; a polygon that contains none fills the pixel of its
        representative point, and the summary counts it as 'smaller than a pixel'. This is decided for the whole object,
        so a chip's mask equals the chip's window in the mask of its parent raster. The background class erases what
        lies below it. The mask has one band, uint8, or uint16 if a class value or `ignore` is above 255, and no nodata
        value.

        Args:
            overlap: Which object is on top. 'class-order': the larger class value; 'smallest-on-top': the smaller area
                in the raster's pixels (lines and points have none); 'newest': the object added last, which also decides
                ties.
            all_touched: Fill every pixel that an object touches.
            ignore: The value (1 to 65,535) of pixels to ignore: those without valid data in the raster (its dataset
                mask is 0), on top of everything; below them the pixels of the features selected by `ignore_where`.
            ignore_where: An SQL expression over the columns of features.

        Raises:
            UsageError: `ignore` is the value of a class.
        """
        from geographer.operations.label.masks import LabelMask

        masks = {"all_touched": all_touched, "ignore": ignore, "ignore_where": ignore_where}
        return self._run_label(LabelMask, shared, name=name, collection=collection, overlap=overlap, **masks)

    def label_probabilities(
        self,
        name: str,
        *,
        collection: str,
        columns: Mapping[str, str] | None = None,
        background_band: bool = False,
        combine: Literal["mean", "max"] = "mean",
        **shared: Unpack[_LabelOptions],
    ) -> ChangeResult:
        """Draw class probabilities for each raster: float32, one band for each class value above 0, ordered by value.

        The columns `prob_of_class_<class>` hold a feature's probabilities; if it has some, the missing ones are 0. A
        feature without any has probability 1 for its own class. Bands are named after their classes. All classes are 0
        where features of the background class lie.

        Args:
            columns: Class to column, where the column has another name.
            background_band: Add a first band: 1 minus the sum of the others, clipped to 0 and 1.
            combine: The 'mean' or the 'max' of each class over the objects that cover a pixel, whatever their order.

        Raises:
            NotFoundError: a class or column does not exist.
            UsageError: the probabilities of a feature lie outside 0 to 1 or sum to more than 1.
        """
        from geographer.operations.label.probabilities import LabelProbabilities

        bands = {"columns": dict(sorted((columns or {}).items())), "background_band": background_band}
        return self._run_label(LabelProbabilities, shared, name=name, collection=collection, combine=combine, **bands)

    def label_instances(
        self,
        name: str,
        *,
        collection: str,
        overlap: Literal["smallest-on-top", "newest"] = "smallest-on-top",
        **shared: Unpack[_LabelOptions],
    ) -> ChangeResult:
        """Draw the number of an object per pixel: 1 to n in each raster, in the order in which the objects were added.

        The label has one band, uint16, or uint32 if a raster shows more than 65,535 objects; 0 is no object, and the
        background class erases. Only visible objects get a number; the table `objects` lists each with its class and
        number of pixels, and the summary counts hidden objects. `overlap` decides which object is on top, as in
        `label_masks`.
        """
        from geographer.operations.label.masks import LabelInstances

        return self._run_label(LabelInstances, shared, name=name, collection=collection, overlap=overlap)

    def label_multilabel(self, name: str, *, collection: str, **shared: Unpack[_LabelOptions]) -> ChangeResult:
        """Draw a band of 0 and 1 (uint8) for each class value above 0, ordered by value and named by its class.

        Objects of different classes may overlap; the background class erases in all bands.
        """
        from geographer.operations.label.masks import LabelMultilabel

        return self._run_label(LabelMultilabel, shared, name=name, collection=collection)

    def label_boxes(
        self, name: str, *, collection: str, min_visible: float = 0.0, **shared: Unpack[_LabelOptions]
    ) -> ChangeResult:
        """Compute axis-aligned and oriented boxes of each raster's objects: a JSON file, and rows of `objects`.

        An object is transformed into the raster's pixel grid, clipped to the raster, then boxed. Coordinates are
        fractional pixels (x = column, y = row, both 0 at the outer corner of the first pixel). The oriented box is the
        smallest rectangle around the visible part; its corners start at the topmost one, run from x towards y, and may
        lie outside the raster. `visible` is the visible fraction of the object's area. The background class has no
        boxes and hides none.

        Args:
            min_visible: Drop objects whose visible fraction is smaller; 0 drops only invisible objects.
            width: Lines and points need a width to have a box. Default: '1px'.

        Raises:
            UsageError: `min_visible` is not in 0 to 1.
        """
        from geographer.operations.label.boxes import LabelBoxes

        shared = {"width": "1px", **shared}
        return self._run_label(LabelBoxes, shared, name=name, collection=collection, min_visible=float(min_visible))

    def label_custom(
        self,
        name: str,
        *,
        collection: str,
        maker: str | type,
        options: Mapping[str, Any] | None = None,
        **shared: Unpack[_LabelOptions],
    ) -> ChangeResult:
        """Draw labels with a user's label maker: a class with a method `draw(objects, grid)` that returns pixels.

        Args:
            maker: The class (see `geographer.LabelMaker`), the name of an entry point in `geographer.labels`, or
                'module:Class'. The log records the version of its distribution, else its attribute `version`.
            options: The keyword arguments of the class; JSON values.

        Raises:
            NotFoundError: the label maker is not installed.
            UsageError: it cannot be imported, has no version, or returns an invalid label.
        """
        from geographer.operations.label.custom import LabelCustom, name_label_maker

        custom = {"maker": name_label_maker(maker), "options": dict(options or {})}
        return self._run_label(LabelCustom, shared, name=name, collection=collection, **custom)

    def _run_label(self, recipe_class: Callable[..., Recipe], shared: Mapping[str, Any], **fields: Any) -> ChangeResult:
        """Run the recipe with these fields and the options that all labels share."""
        options = dict(shared)
        width, workers = options.pop("width", None), options.pop("workers", 1)
        fields["width"] = None if width is None else str(parse_line_width(width))
        return self._run_recipe(recipe_class(**fields), options, workers)
