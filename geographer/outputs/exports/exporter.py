"""Base of the formats: the parameters that several share, and what each format writes and says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from geographer.base.parameters import Parameter, ParameterSet
from geographer.base.values import parse_line_width

if TYPE_CHECKING:
    from geographer.outputs.exports.export import Export
    from geographer.outputs.exports.objects import ObjectOptions


class Exporter(ParameterSet, kw_only=True, frozen=True):
    """A format: its fields are the parameters of the command `export FORMAT`, declared once.

    Attributes:
        format: The name of the format.
        title: What it is called in the README of an export.
        example: A command line for help, without the leading `geographer`.
        packages: The distributions that it needs beside those of geographer, and the extra that has them.
        layout: What files and folders mean, by path, for the README.
        usage: Python code that reads the export, for the README; the folder is the current one.
        takes_all_labels: Whether all labels of the samples are exported if --labels names none; else none is.
        has_tables: Whether `classes.csv` and `splits.csv` are written beside what the format writes.
    """

    format: ClassVar[str]
    title: ClassVar[str]
    example: ClassVar[str]
    packages: ClassVar[Mapping[str, str]] = {}
    layout: ClassVar[Mapping[str, str]] = {}
    usage: ClassVar[str] = ""
    takes_all_labels: ClassVar[bool] = True
    has_tables: ClassVar[bool] = True

    def list_packages(self) -> Mapping[str, str]:
        """Return the `packages` that these parameters need."""
        return self.packages

    def write_files(self, export: Export, /) -> None:
        """Write all files of the format to `export.folder`; equal samples give equal bytes.

        Raises:
            UsageError: the format cannot hold the samples; nothing is written then.
        """
        raise NotImplementedError

    def describe_header(self, _export: Export, /) -> Mapping[str, Any]:
        """Return what the YAML at the top of the README says of this format."""
        return {}


def format_line_width(width: str | float) -> str:
    """Return a width of lines and points as text, such as `3px`; `UsageError` if it is invalid."""
    return str(parse_line_width(width))


class ObjectExporter(Exporter, kw_only=True, frozen=True):
    """A format of objects: the features that a sample contains or intersects."""

    takes_all_labels: ClassVar[bool] = False

    width: Annotated[
        str | float,
        Parameter(
            "Width of lines and points, in pixels or metres.",
            "3px|5m",
            convert=format_line_width,
        ),
    ] = "1px"
    min_visible: Annotated[
        float,
        Parameter("Leave out objects of which a smaller fraction lies on the image.", "FRACTION", minimum=0, maximum=1),
    ] = 0.0

    @property
    def object_options(self) -> ObjectOptions:
        """Which objects to list."""
        from geographer.outputs.exports.objects import ObjectOptions

        return ObjectOptions(parse_line_width(self.width), self.min_visible)
