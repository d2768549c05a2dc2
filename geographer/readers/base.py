"""The base class of readers, which convert a product's files to one GeoTIFF; their options; the choice of a reader."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Final

from geographer.base.band_names import BandNames
from geographer.base.errors import UsageError, quote_names, quote_objects
from geographer.base.plugins import PluginKind, accept_old_names


@dataclass(frozen=True, slots=True)
class ProductFiles:
    """The files of a downloaded product in a `folder`; archives are unpacked.

    `product_id`, `collection`, `properties` and `bands` (names of the bands of each file, by its path in the folder)
    are those of the archive, as in `geographer.archives.base.Product`.
    """

    folder: Path
    product_id: str
    collection: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    bands: Mapping[str, tuple[BandNames, ...]] = field(default_factory=dict)

    def get_bands(self, path: Path) -> tuple[BandNames, ...]:
        """Return what the archive calls the bands of a file, in order; empty if it does not state them."""
        return self.bands.get(path.relative_to(self.folder).as_posix(), ())

    def list_files(self) -> list[Path]:
        """List all files, sorted by path."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    files = list_files  # its name in version 0.1.0

    def find_files(self, suffixes: tuple[str, ...], pattern: str | None = None) -> list[Path]:
        """Find files by `suffixes` such as `.tif`, sorted by path; skip hidden files, which some tars have.

        `pattern` is a shell pattern such as `*_DSM.tif` for a file's name or path in the folder. Case is ignored.
        """
        paths = [path for path in self.list_files() if path.suffix.lower() in suffixes and path.name[0] != "."]
        names = {path: (path.name, path.relative_to(self.folder).as_posix()) for path in paths}
        pattern = (pattern or "*").casefold()
        return [path for path in paths if any(fnmatchcase(name.casefold(), pattern) for name in names[path])]

    def format_names(self, paths: list[Path] | None = None) -> str:
        """Format the paths of files in the folder (by default, of all) for an error message."""
        paths = self.list_files() if paths is None else paths
        return quote_names([str(path.relative_to(self.folder)) for path in paths]) or "none"


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a reader did; `unchanged_bytes` (in version 0.1.0, `kept`) if the GeoTIFF has the delivered file's bytes.

    `notes` are details for reviewers as small JSON: the bands, which offset was applied, and so on. The entry `facts`
    (product properties found in the files) is recorded as properties of the product.
    """

    notes: Mapping[str, Any] = field(default_factory=dict)
    unchanged_bytes: bool = False
    kept: InitVar[bool] = False

    def __post_init__(self, kept: bool) -> None:
        object.__setattr__(self, "unchanged_bytes", self.unchanged_bytes or kept)


TIFF_SUFFIXES: Final = (".tif", ".tiff")
JP2_SUFFIXES: Final = (".jp2", ".j2k", ".jpx")
RESAMPLINGS: Final = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode", "min", "max", "med")
"""Names of the resampling methods that users can choose."""
TEXT, NAMES, FLAG, NUMBER = "a text", "a list of names", "true or false", "a number"
"""The forms of options' values: JSON values, and the text `nan` as a number."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_HAS_FORM: Final[Mapping[str, Callable[[Any], bool]]] = {
    TEXT: lambda value: isinstance(value, str) and value != "",
    NAMES: lambda value: isinstance(value, list | tuple) and all(isinstance(name, str) and name for name in value),
    FLAG: lambda value: isinstance(value, bool),
    NUMBER: lambda value: value == "nan" or _is_number(value),
}


class Reader(ABC):
    """Base class of readers; users subclass it, and name theirs by an entry point in `geographer.readers`.

    Equal files and options must give equal bytes.

    Attributes:
        name: The reader's name in messages and in the log.
        bands: Names of the requested bands, in order; empty: the reader's choice.
        resolution: The requested pixel size in units of the CRS, mostly metres; None: that of the finest band.
        options: The reader's other options, JSON values; None counts as an option that is not given.
        option_forms: The form of each of these options, or the texts to choose from; None: subclasses validate them.
    """

    name: ClassVar[str]
    option_forms: ClassVar[Mapping[str, str | tuple[str, ...]] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        accept_old_names(cls, {"reads": "can_read"})

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        """Store the options; raise UsageError if one is unknown or invalid."""
        self.bands, self.resolution, self.options = bands, resolution, options
        if self.option_forms is not None:
            self._validate_options(self.option_forms)

    def _validate_options(self, forms: Mapping[str, str | tuple[str, ...]]) -> None:
        if unknown := sorted(self.options.keys() - forms.keys()):
            valid = ", ".join(("bands", "resolution", *sorted(forms)))
            options = quote_objects("option", unknown)
            raise UsageError(f"reader '{self.name}' has no {options}. Its options are: {valid}.")
        for name, value in self.options.items():
            form = forms[name]
            is_valid = _HAS_FORM[form](value) if isinstance(form, str) else value in form
            if value is not None and not is_valid:
                expected = form if isinstance(form, str) else f"one of {', '.join(form)}"
                raise UsageError(f"invalid option {name} of reader '{self.name}': {value!r}. Use {expected}.")

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

    Raise PluginError if no reader of that name can be imported, UsageError if it is not a subclass of `Reader`.
    """
    reader = READERS.resolve_plugin(name).require_plugin()
    if not (isinstance(reader, type) and issubclass(reader, Reader)):
        raise UsageError(f"reader '{name}' is not a geographer.Reader. Make it a subclass of geographer.Reader.")
    return reader


def choose_reader(
    product_files: ProductFiles, name: str | None = None, options: Mapping[str, Any] | None = None
) -> Reader:
    """Make the reader of a product: the one called `name`, or else the first that can read the files.

    Users' readers come first, by the names of their entry points; then `safe`, `geotiff` (for exactly one GeoTIFF)
    and `bands`. `name`, `options` and errors are as for `find_reader` and `make_reader`; UsageError if no reader can
    read the files.
    """
    reader = find_reader(name) if name else _find_matching_reader(product_files)
    return make_reader(reader, options or {})


def make_reader(reader: type[Reader], options: Mapping[str, Any]) -> Reader:
    """Make a reader with its options (JSON values: `bands`, `resolution` and others), before there are files.

    Raise UsageError if an option is unknown or invalid.
    """
    bands, resolution = options.get("bands") or (), options.get("resolution")
    if not _HAS_FORM[NAMES](bands):
        raise UsageError(f"invalid option bands: {bands!r}. Use a list of names, e.g. B02, B03, B04.")
    if resolution is not None and not _is_number(resolution):
        raise UsageError(f"invalid option resolution: {resolution!r}. Use the size of a pixel, e.g. 10.")
    other_options = {name: value for name, value in options.items() if name not in ("bands", "resolution")}
    return reader(bands=tuple(bands), resolution=None if resolution is None else float(resolution), **other_options)


def _find_matching_reader(product_files: ProductFiles) -> type[Reader]:
    """Return the first reader that can read the files: users' by the names of their entry points, then the others."""
    user_readers = {entry.name for entry in entry_points(group=READERS.group)} - READERS.built_in.keys()
    for name in (*sorted(user_readers), *READERS.built_in):
        if (reader := find_reader(name)).can_read(product_files):
            return reader
    raise UsageError(
        f"no reader can read the files of product '{product_files.product_id}' ({product_files.format_names()}). "
        f"Choose one with --reader, or provide your own by an entry point in {READERS.group}."
    )
