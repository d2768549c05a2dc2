"""What a reader is: it turns the files of a product, as they arrived, into one GeoTIFF."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

READERS: Final = "geographer.readers"
"""The group of entry points that a reader can be named by."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A product's files, archives unpacked.

    Attributes:
        folder: Where they are.
        product_id: Of the product, in its archive.
        collection: The archive's own collection.
        properties: What the archive says of the product, as `geographer.sources.source.Product` has it.
    """

    folder: Path
    product_id: str
    collection: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """All files, by path."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made.

    Attributes:
        notes: What it did that a reviewer wants to know, as small JSON: the bands, which offset was applied, and so on.
        kept: The GeoTIFF's bytes are those that arrived.
    """

    notes: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = False


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
    def reads(cls, arrived: Arrived) -> bool:
        """Whether it knows how to read these files; a look at their names will do."""

    @abstractmethod
    def read(self, arrived: Arrived, destination: Path) -> Reading:
        """Write the GeoTIFF `destination`, whole or not at all.

        Raises:
            UsageError: a band or resolution that the product has not.
            CorruptError: files are missing, damaged, or at odds with each other.
            StorageError: the disk is full.
        """
