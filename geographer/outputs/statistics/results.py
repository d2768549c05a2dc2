"""What statistics say: of bands, of the pixels of classes in labels, and of the objects of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from geographer.base.errors import UsageError
from geographer.base.html import render_object

FORMAT: Final = "geographer statistics"
VERSION: Final = 1


class ValueSummary(NamedTuple):
    """Statistics of valid pixels, all None or empty without any.

    Attributes:
        mean: The mean.
        standard_deviation: That of the population (divided by the number of pixels).
        minimum, maximum: The smallest and the largest value.
        percentiles: By percentage as text, such as '2.5', with linear interpolation.
        edges: The edges of the histogram's bins, one more than there are bins.
        counts: The number of pixels in each bin, which has its left edge; the last one has both.
        relative_error: The largest relative error of percentiles and of the values that the histogram counts, or 0; of
            the stored values, before they are scaled.
    """

    mean: float | None
    standard_deviation: float | None
    minimum: float | None
    maximum: float | None
    percentiles: Mapping[str, float | None]
    edges: Sequence[float]
    counts: Sequence[int]
    relative_error: float


class BandSummary(NamedTuple):
    """The pixels of a band.

    Attributes:
        band: Its number, from 1.
        name: Its name, or `alpha`; None if it has none, or files differ.
        valid: The number of pixels that the statistics are of.
        nodata: The number of pixels that nodata, an alpha band or a mask band marks as invalid.
        non_finite: The number of other pixels that are NaN or infinite.
        has_scale: Whether a file states a scale or an offset.
        stored: Of the values as stored.
        scaled: Of the values with the scales and offsets of the files; None if none states any, or more than 8 differ.
    """

    band: int
    name: str | None
    valid: int
    nodata: int
    non_finite: int
    has_scale: bool
    stored: ValueSummary
    scaled: ValueSummary | None

    def choose_values(self, *, scaled: bool) -> ValueSummary:
        """Return the statistics of stored values, or of scaled ones, which are the same if no file states a scale."""
        if not scaled or not self.has_scale:
            return self.stored
        if self.scaled is None:
            raise UsageError(
                f"band {self.band} has more than 8 scales, so it has no scaled statistics. Use stored ones."
            )
        return self.scaled


class ClassPixels(NamedTuple):
    """The pixels of a class in a label.

    Attributes:
        class_name: The class; `background` for the value 0; None if no class has the value.
        value: The value in masks.
        pixels: The number of its pixels.
        fraction: Of all pixels but the ignored ones; of the band in a multilabel.
        inverse_frequency: The weight n / (k * pixels), with n pixels and k classes that have some; None without pixels.
        median_frequency: The weight median(f) / f of median frequency balancing (Eigen and Fergus 2015), where f is the
            fraction among the pixels of those labels that show the class; None without pixels.
    """

    class_name: str | None
    value: int | None
    pixels: int
    fraction: float | None
    inverse_frequency: float | None
    median_frequency: float | None


class LabelSummary(NamedTuple):
    """The pixels of a label of class values.

    Attributes:
        label: Its name.
        kind: `mask`, `multilabel` or `custom`.
        rasters: The number of samples that have it.
        ignore: The value of pixels that training ignores, if there is one.
        pixels: The number of pixels with other values; of all bands in a multilabel.
        ignored: The number of pixels with that value.
        classes: Its classes by value; in a multilabel in the order of its bands, without weights.
    """

    label: str
    kind: str
    rasters: int
    ignore: int | None
    pixels: int
    ignored: int
    classes: Sequence[ClassPixels]


class ClassObjects(NamedTuple):
    """The objects of a class.

    Attributes:
        class_name: The class.
        samples: The number of samples that show a feature of it.
        features: The number of features on the samples.
        objects: The number of objects in each label of instances or boxes, by its name.
    """

    class_name: str
    samples: int
    features: int
    objects: Mapping[str, int]


class SampleStatistics(NamedTuple):
    """The statistics of some samples.

    Attributes:
        samples: Their number.
        bands: Their bands.
        labels: Their labels of class values.
        classes: Their classes, by name.
    """

    samples: int
    bands: Sequence[BandSummary]
    labels: Sequence[LabelSummary]
    classes: Sequence[ClassObjects]

    def list_means(self, *, scaled: bool = False) -> list[float]:
        """Return the mean of each band, as stored or scaled, to normalise with; `UsageError` if a band has none."""
        return [_require_number(band, band.choose_values(scaled=scaled).mean) for band in self.bands]

    def list_standard_deviations(self, *, scaled: bool = False) -> list[float]:
        """Return the standard deviation of each band; as `list_means`."""
        return [_require_number(band, band.choose_values(scaled=scaled).standard_deviation) for band in self.bands]

    def _repr_html_(self) -> str:
        return render_object(self)


class DatasetStatistics(NamedTuple):
    """The statistics of the samples of a revision.

    Attributes:
        position: The position of the revision.
        digest: The digest of its event.
        selection: Split, subsets, collection and labels, with the defaults that were chosen.
        subsets: The statistics of each subset; empty without a split.
        all: The statistics of all samples.
    """

    position: int
    digest: str
    selection: Mapping[str, Any]
    subsets: Mapping[str, SampleStatistics]
    all: SampleStatistics

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as a JSON object; a class has the key `class`."""
        document = _make_document(self)
        return {"format": FORMAT, "version": VERSION, **document}

    def _repr_html_(self) -> str:
        return render_object(self)


def _require_number(band: BandSummary, value: float | None) -> float:
    if value is None:
        raise UsageError(f"band {band.band} has no valid pixel, so it has no mean. Choose other samples.")
    return value


def _make_document(value: Any) -> Any:
    """Return named tuples as dictionaries, and sequences as lists."""
    if hasattr(value, "_asdict"):
        value = {name.replace("class_name", "class"): item for name, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: _make_document(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_make_document(item) for item in value]
    return value
