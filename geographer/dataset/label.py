"""The verbs that declare and run label recipes: masks, soft labels, instances, multilabels, boxes, one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from geographer.base.values import parse_line_width
from geographer.dataset.commit import Changing
from geographer.storage.events import ChangeResult

if TYPE_CHECKING:
    from collections.abc import Mapping


class Labels(Changing):
    """The part of `Dataset` that labels rasters; see there for the keyword arguments that all changes share.

    Every label is on exactly its raster's grid. Run again, or by `update`, a recipe makes the labels that are missing
    or out of date (features, classes or rasters have changed), and retires those whose rasters have left.

    All take:
        name: The recipe's name; its files lie in `labels/<name>/<collection>/`, named after their rasters.
        collection: The rasters to label.
        width: How wide lines and points are drawn: a number of pixels, or a text such as '3px' or '5m'. Metres are
            those of the raster's pixels at its middle. None: a line as the pixels along it, a point as the one that it
            lies in.
        workers: How many processes draw. Scripts that set more than 1 need an `if __name__ == "__main__"` guard.
        signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

    All raise:
        NotFoundError: no such collection.
        ConflictError: the name stands for another recipe.
        UsageError: there is no class, or an option can't be.
        CorruptError, StorageError: as the messages say; nothing is recorded then.
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
        width: str | float | None = None,
        workers: int = 1,
        **signature: Any,
    ) -> ChangeResult:
        """Burn a class mask for each raster of a collection: one class value a pixel, 0 where there is nothing.

        A polygon fills the pixels whose centres it holds; one that holds none burns the pixel that its representative
        point lies in, and the summary counts it as 'smaller than a pixel'. That is decided for the whole object, so a
        chip's mask is the window that the chip is in its scene's. The background class erases what lies below it. One
        band, uint8, or uint16 where a class's value or `ignore` is above 255; no nodata value.

        Args:
            name: As for all labels.
            collection: As for all labels.
            overlap: What lies on top. 'class-order': the larger class value; 'smallest-on-top': the smaller area in the
                raster's pixels (lines and points have none); 'newest': what was added later, as in all cases when that
                does not decide.
            all_touched: Burn every pixel that is touched.
            ignore: The value, from 1 to 65,535, that marks pixels to be ignored: those of the raster without valid data
                (its dataset mask is 0), on top of all, and below them those of the features that `ignore_where` names.
            ignore_where: An SQL expression over the columns of features.
            width: As for all labels.
            workers: As for all labels.
            signature: As for all labels.

        Raises:
            UsageError: `ignore` is the value of a class; or as for all labels.
        """
        from geographer.operations.label.mask import LabelMask

        recipe = LabelMask(
            name=name,
            collection=collection,
            overlap=overlap,
            all_touched=all_touched,
            ignore=ignore,
            ignore_where=ignore_where,
            width=_width(width),
        )
        return self._run(recipe, signature, workers)

    def label_soft(
        self,
        name: str,
        *,
        collection: str,
        columns: Mapping[str, str] | None = None,
        background_band: bool = False,
        combine: Literal["mean", "max"] = "mean",
        width: str | float | None = None,
        workers: int = 1,
        **signature: Any,
    ) -> ChangeResult:
        """Draw a soft label for each raster: float32, one band for each class with a value above 0, in order of value.

        A feature's probabilities stand in its columns `prob_of_class_<class>`; of several, nulls are 0. A feature that
        has none belongs to its own class with probability 1. Bands are named after their classes. Where features of the
        background class lie, all classes are 0.

        Args:
            name: As for all labels.
            collection: As for all labels.
            columns: Class to column, where the column has another name.
            background_band: A first band with 1 minus the sum of the others, clipped to 0 and 1.
            combine: Of the objects that cover a pixel, the 'mean' or the 'max' of each class; their order does not
                matter, to the last bit.
            width: As for all labels.
            workers: As for all labels.
            signature: As for all labels.

        Raises:
            NotFoundError: no such class or column.
            UsageError: a feature's probabilities lie outside 0 to 1, or add up to more than 1; or as for all labels.
        """
        from geographer.operations.label.soft import LabelSoft

        recipe = LabelSoft(
            name=name,
            collection=collection,
            columns=dict(sorted((columns or {}).items())),
            background_band=background_band,
            combine=combine,
            width=_width(width),
        )
        return self._run(recipe, signature, workers)

    def label_instances(
        self,
        name: str,
        *,
        collection: str,
        overlap: Literal["smallest-on-top", "newest"] = "smallest-on-top",
        width: str | float | None = None,
        workers: int = 1,
        **signature: Any,
    ) -> ChangeResult:
        """Draw the objects of each raster with an id of their own: 1 to n in each raster, in the order of addition.

        One band, uint16, or uint32 where a raster shows more than 65,535 objects; 0 is nothing, and the background
        class erases. Only what is seen has an id; `objects` lists it with its class and the number of its pixels, and
        the summary counts what others hide. `overlap`, the rule for what lies on top, is as for masks.
        """
        from geographer.operations.label.instances import LabelInstances

        recipe = LabelInstances(name=name, collection=collection, overlap=overlap, width=_width(width))
        return self._run(recipe, signature, workers)

    def label_multilabel(
        self, name: str, *, collection: str, width: str | float | None = None, workers: int = 1, **signature: Any
    ) -> ChangeResult:
        """Draw a band of 0 and 1 for each class with a value above 0, in order of value and named after it; uint8.

        Objects of different classes may overlap; the background class erases in all bands.
        """
        from geographer.operations.label.multilabel import LabelMultilabel

        recipe = LabelMultilabel(name=name, collection=collection, width=_width(width))
        return self._run(recipe, signature, workers)

    def label_boxes(
        self,
        name: str,
        *,
        collection: str,
        min_visible: float = 0.0,
        width: str | float = "1px",
        workers: int = 1,
        **signature: Any,
    ) -> ChangeResult:
        """Box the objects of each raster, upright and oriented: a JSON file for each raster, and rows of `objects`.

        An object is transformed into the raster's pixel grid first, then clipped to the raster, then boxed. Coordinates
        are in pixels, with fractions: x is the column and y the row, both 0 at the outer corner of the first pixel. The
        oriented box is the smallest rectangle around what is seen; its corners go from the topmost one in the sense in
        which x turns to y, and may lie outside the raster. `visible` is the share of the object's area that is seen.
        The background class has no boxes, and hides none.

        Args:
            name: As for all labels.
            collection: As for all labels.
            min_visible: Drop objects of which a smaller share is seen; 0 drops only what isn't seen at all.
            width: As for all labels; lines and points need one to have a box.
            workers: As for all labels.
            signature: As for all labels.

        Raises:
            UsageError: `min_visible` isn't from 0 to 1; or as for all labels.
        """
        from geographer.operations.label.boxes import LabelBoxes

        recipe = LabelBoxes(name=name, collection=collection, min_visible=float(min_visible), width=_width(width))
        return self._run(recipe, signature, workers)

    def label_own(
        self,
        name: str,
        *,
        collection: str,
        maker: str | type,
        options: Mapping[str, Any] | None = None,
        width: str | float | None = None,
        workers: int = 1,
        **signature: Any,
    ) -> ChangeResult:
        """Draw labels with one's own label maker: a class with a method `draw(objects, grid)` that answers pixels.

        See `geographer.operations.label.rendering.custom.LabelMaker` for what it is given and must answer.

        Args:
            name: As for all labels.
            collection: As for all labels.
            maker: The class; or the name of an entry point of the group `geographer.labels`, or `module:Class`. The
                version of its distribution is recorded, or else its attribute `version`.
            options: Keyword arguments that the class is made with; as JSON.
            width: As for all labels.
            workers: As for all labels.
            signature: As for all labels.

        Raises:
            NotFoundError: no such label maker is installed.
            UsageError: it can't be imported, has no version, or draws what is no label; or as for all labels.
        """
        from geographer.operations.label.custom import LabelOwn, name_of

        recipe = LabelOwn(
            name=name, collection=collection, maker=name_of(maker), options=dict(options or {}), width=_width(width)
        )
        return self._run(recipe, signature, workers)


def _width(given: str | float | None) -> str | None:
    """The one text of a width."""
    return None if given is None else str(parse_line_width(given))
