"""What a reader is: it turns the files of a product, as they arrived, into one GeoTIFF."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Final

from geographer.base.errors import PluginError, UsageError, quote_names
from geographer.base.plugins import Plugin

READERS: Final = "geographer.readers"
"""The group of entry points that a reader can be named by."""


@dataclass(frozen=True, slots=True)
class ProductFiles:
    """A product's files, archives unpacked.

    Attributes:
        folder: Where they are.
        product_id: Of the product, in its archive.
        collection: The archive's own collection.
        properties: What the archive says of the product, as `geographer.archives.base.Product` has it.
    """

    folder: Path
    product_id: str
    collection: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """All files, by path."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a reader made.

    Attributes:
        notes: What it did that a reviewer wants to know, as small JSON: the bands, which offset was applied, and so on.
        kept: The GeoTIFF's bytes are those that arrived.
    """

    notes: Mapping[str, Any] = field(default_factory=dict)
    unchanged_bytes: bool = False


class Reader(ABC):
    """A reader of one's own: subclass it, and name it by an entry point in `geographer.readers`.

    The same files and options must give the same bytes.
    """

    name: ClassVar[str]

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        """Take what the recipe was declared with; `options` are JSON values.

        Args:
            bands: Names of the bands that are wanted, in order; empty: the reader's choice.
            resolution: The pixels' size in metres (or units of the CRS); None: the finest of the bands.
            options: The reader's own.

        Raises:
            UsageError: an option that it does not know, or can't use.
        """
        self.bands, self.resolution, self.options = bands, resolution, options

    @classmethod
    @abstractmethod
    def can_read(cls, arrived: ProductFiles) -> bool:
        """Whether it knows how to read these files; a look at their names will do."""

    @abstractmethod
    def read(self, arrived: ProductFiles, destination: Path) -> ReadResult:
        """Write the GeoTIFF `destination`, whole or not at all.

        Raises:
            UsageError: a band or resolution that the product has not.
            CorruptError: files are missing, damaged, or at odds with each other.
            StorageError: the disk is full.
        """


BUILT_IN: Final = {
    "safe": "geographer.readers.safe:SafeReader",
    "geotiff": "geographer.readers.geotiff:GeoTiff",
    "bands": "geographer.readers.bands:Bands",
}
"""The readers that come along, in the order in which they are asked whether they read what arrived."""


def find_reader(name: str) -> type[Reader]:
    """The reader of a name: `safe`, `geotiff`, `bands`, an entry point of `geographer.readers`, or `module:Class`.

    Raises:
        NotFoundError: there is none.
        UsageError: it is no subclass of `Reader`.
    """
    if name in BUILT_IN:
        return _built_in(name)
    Plugin.resolve(name, READERS)
    return _checked(name, Plugin(name, "").load_or_raise(READERS))


def choose_reader(arrived: ProductFiles, name: str | None = None, options: Mapping[str, Any] | None = None) -> Reader:
    """The reader of what arrived: the one of that `name`, or else the first that knows how to read it.

    Readers of one's own, by their entry points' names in order, are asked before those that come along: `safe`; then
    `geotiff`, for exactly one GeoTIFF; then `bands`.

    Args:
        arrived: The product's files, unpacked.
        name: See `reader_named`.
        options: JSON values: `bands` (a list), `resolution` and the reader's own.

    Raises:
        NotFoundError: there is no reader of that name, or one of one's own can't be imported.
        UsageError: none of them reads these files, or the options can't be used.
    """
    reader = find_reader(name) if name else _first(arrived)
    return make_reader(reader, options or {})


def make_reader(reader: type[Reader], options: Mapping[str, Any]) -> Reader:
    """A reader with its options, which are JSON values; without files, so that a recipe is checked when it is declared.

    Raises:
        UsageError: they can't be used.
    """
    bands, resolution = options.get("bands") or (), options.get("resolution")
    if not (isinstance(bands, list | tuple) and all(isinstance(band, str) and band for band in bands)):
        raise UsageError(f"option bands is {bands!r}: give it a list of names, such as B02, B03, B04")
    if resolution is not None and (isinstance(resolution, bool) or not isinstance(resolution, int | float)):
        raise UsageError(f"option resolution is {resolution!r}: give it the size of a pixel, such as 10")
    own = {name: value for name, value in options.items() if name not in ("bands", "resolution")}
    return reader(bands=tuple(bands), resolution=None if resolution is None else float(resolution), **own)


def _first(arrived: ProductFiles) -> type[Reader]:
    for reader in _every():
        if reader.can_read(arrived):
            return reader
    files = quote_names([str(path.relative_to(arrived.folder)) for path in arrived.files()]) or "none"
    raise UsageError(
        f"no reader knows the files of product '{arrived.product_id}' ({files}): name one by --reader, or bring "
        f"one of your own by an entry point in {READERS}"
    )


def _every() -> Iterator[type[Reader]]:
    for entry in sorted(entry_points(group=READERS), key=lambda one: one.name):
        if entry.name in BUILT_IN:
            continue
        try:
            found = entry.load()
        except (ImportError, AttributeError) as error:
            raise PluginError(f"reader '{entry.name}' can't be imported here: install what has it ({error})") from error
        yield _checked(entry.name, found)
    for name in BUILT_IN:
        yield _built_in(name)


def _built_in(name: str) -> type[Reader]:
    """Imported when it is used: rasterio takes a while."""
    module, _, reader = BUILT_IN[name].partition(":")
    return _checked(name, getattr(import_module(module), reader))


def _checked(name: str, found: Any) -> type[Reader]:
    if not (isinstance(found, type) and issubclass(found, Reader)):
        raise UsageError(f"'{name}' is no reader: make it a subclass of geographer.readers.base.Reader")
    return found
