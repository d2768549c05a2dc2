"""The base class of readers, which convert a product's files to one GeoTIFF, and the choice of a product's reader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import InitVar, dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.base.errors import PluginError, UsageError, quote_names
from geographer.base.plugins import PluginKind, accept_old_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProductFiles:
    """The files of a downloaded product; archives are unpacked.

    Attributes:
        folder: The folder that holds them.
        product_id: The product's id in its archive.
        collection: The archive's collection.
        properties: The product's metadata in the archive, as in `geographer.archives.base.Product`.
    """

    folder: Path
    product_id: str
    collection: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    def list_files(self) -> list[Path]:
        """List all files, sorted by path."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    files = list_files  # its name in version 0.1.0


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a reader did.

    Attributes:
        notes: Details for reviewers as small JSON: the bands, which offset was applied, and so on. The entry `facts`
            (product properties found in the files) is recorded as properties of the product.
        unchanged_bytes: True if the GeoTIFF has the bytes of the delivered file.
        kept: The name of `unchanged_bytes` in version 0.1.0.
    """

    notes: Mapping[str, Any] = field(default_factory=dict)
    unchanged_bytes: bool = False
    kept: InitVar[bool] = False

    def __post_init__(self, kept: bool) -> None:
        object.__setattr__(self, "unchanged_bytes", self.unchanged_bytes or kept)


class Reader(ABC):
    """Base class of readers; users subclass it, and name theirs by an entry point in `geographer.readers`.

    Equal files and options must give equal bytes.

    Attributes:
        name: The reader's name in messages and in the log.
        bands: Names of the requested bands, in order; empty: the reader's choice.
        resolution: The requested pixel size in units of the CRS, mostly metres; None: that of the finest band.
        options: The reader's other options, JSON values.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        accept_old_names(cls, {"reads": "can_read"})

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        """Store the options; see the attributes. Subclasses validate them here.

        Raises:
            UsageError: an option is unknown or invalid.
        """
        self.bands, self.resolution, self.options = bands, resolution, options

    @classmethod
    @abstractmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        """Return whether the reader supports these files; checking their names is enough."""

    @abstractmethod
    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """Write the GeoTIFF `destination` atomically.

        Raises:
            UsageError: the product lacks a requested band or resolution.
            CorruptError: files are missing, damaged or contradict each other.
            StorageError: the disk is full or cannot be written.
        """


READERS: Final = PluginKind(
    "reader",
    "geographer.readers",
    "geographer.Reader",
    {
        "safe": "geographer.readers.safe:SafeReader",
        "geotiff": "geographer.readers.geotiff:GeoTiffReader",
        "bands": "geographer.readers.bands:BandsReader",
    },
)
"""The plugin kind of readers; the built-in ones are tried in this order."""


def find_reader(name: str) -> type[Reader]:
    """Return the reader class of a name: `safe`, `geotiff`, `bands`, an entry point, or `module:Class`.

    Raises:
        NotFoundError: no reader has that name.
        UsageError: it is not a subclass of `Reader`.
    """
    return _require_subclass(name, READERS.resolve_plugin(name).require_plugin())


def choose_reader(
    product_files: ProductFiles, name: str | None = None, options: Mapping[str, Any] | None = None
) -> Reader:
    """Make the reader of a product: the one called `name`, or else the first that can read the files.

    Users' readers come first, by the names of their entry points; then `safe`, `geotiff` (for exactly one GeoTIFF)
    and `bands`. `name` and `options` are as for `find_reader` and `make_reader`.

    Raises:
        NotFoundError: no reader has that name, or a user's reader cannot be imported.
        UsageError: no reader can read the files, or the options are invalid.
    """
    reader = find_reader(name) if name else _find_matching_reader(product_files)
    return make_reader(reader, options or {})


def make_reader(reader: type[Reader], options: Mapping[str, Any]) -> Reader:
    """Make a reader with its options; needs no files, so that a recipe is validated when it is declared.

    `options` are JSON values: `bands` (a list), `resolution` and the reader's other options. Raise UsageError if one is
    unknown or invalid.
    """
    bands, resolution = options.get("bands") or (), options.get("resolution")
    if not (isinstance(bands, list | tuple) and all(isinstance(band, str) and band for band in bands)):
        raise UsageError(f"invalid option bands: {bands!r}. Use a list of names, e.g. B02, B03, B04.")
    if resolution is not None and (isinstance(resolution, bool) or not isinstance(resolution, int | float)):
        raise UsageError(f"invalid option resolution: {resolution!r}. Use the size of a pixel, e.g. 10.")
    other_options = {name: value for name, value in options.items() if name not in ("bands", "resolution")}
    return reader(bands=tuple(bands), resolution=None if resolution is None else float(resolution), **other_options)


def _find_matching_reader(product_files: ProductFiles) -> type[Reader]:
    for reader in _iter_readers():
        if reader.can_read(product_files):
            return reader
    paths = [str(path.relative_to(product_files.folder)) for path in product_files.list_files()]
    raise UsageError(
        f"no reader can read the files of product '{product_files.product_id}' ({quote_names(paths) or 'none'}). "
        f"Choose one with --reader, or provide your own by an entry point in {READERS.group}."
    )


def _iter_readers() -> Iterator[type[Reader]]:
    """Yield users' readers by the names of their entry points, then the built-in ones."""
    for entry in sorted(entry_points(group=READERS.group), key=lambda entry: entry.name):
        if entry.name in READERS.built_in:
            continue
        try:
            plugin = entry.load()
        except (ImportError, AttributeError) as error:
            message = f"reader '{entry.name}' cannot be imported ({error}). Install the package that defines it."
            raise PluginError(message) from error
        yield _require_subclass(entry.name, plugin)
    for name in READERS.built_in:
        yield find_reader(name)


def _require_subclass(name: str, plugin: Any) -> type[Reader]:
    if not (isinstance(plugin, type) and issubclass(plugin, Reader)):
        raise UsageError(f"reader '{name}' is not a geographer.Reader. Make it a subclass of geographer.Reader.")
    return plugin
