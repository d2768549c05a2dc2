"""A sample of an audited dataset (an image file with its subset), and what the reader of a layout returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from geographer.outputs.audit.report import AuditFinding


class BoxExtent(NamedTuple):
    """The box around all annotation boxes of an image, in pixels: columns x and rows y, from the top left."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float


class BoxSummary(NamedTuple):
    """The annotation boxes of an image: a text that is equal for equal boxes, their extent, and their classes."""

    text: str
    extent: BoxExtent
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """An image file as a layout names it; a file that is listed in two subsets is two samples.

    Attributes:
        path: The path of the file in the audited folder, with `/`.
        subset: The name of its subset; None if it is in none.
        class_name: The class of the whole image, if the layout names one.
        label_files: The paths of its masks or other label files.
        annotations: A text for all annotations of the image (boxes with classes); None if the layout has none.
        box_extent: The box around the annotation boxes.
        object_classes: The distinct classes of its annotations, sorted.
        objects: The ids of the objects that it shows, if the layout says so with certainty.
        image_id: The id that the layout gives to the image.
    """

    path: str
    subset: str | None = None
    class_name: str | None = None
    label_files: tuple[str, ...] = ()
    annotations: str | None = None
    box_extent: BoxExtent | None = None
    object_classes: tuple[str, ...] = ()
    objects: frozenset[str] = frozenset()
    image_id: str | None = None


@dataclass(slots=True)
class Layout:
    """What a reader made of a folder.

    Attributes:
        name: What the folder was taken for, such as `images in folders by subset`.
        samples: The samples, sorted by path and subset.
        notes: How files were interpreted, and what was left out and why: sentences.
        findings: Faults of the listing itself, such as a listed file that is missing.
        declared: The subsets that the layout names, also those without a sample.
    """

    name: str
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[AuditFinding] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)

    @property
    def has_split(self) -> bool:
        """Whether at least two subsets have samples."""
        return len({sample.subset for sample in self.samples} - {None}) > 1
