"""The files of a release: their names, and the size and SHA-256 of each one that is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

README: Final = "README.md"
AGENTS: Final = "AGENTS.md"
METHODS: Final = "METHODS.md"
DATASHEET: Final = "DATASHEET.md"
CITATION: Final = "CITATION.cff"
BIBTEX: Final = "citation.bib"
CROISSANT: Final = "croissant.json"
RO_CRATE: Final = "ro-crate-metadata.json"
PROVENANCE: Final = "provenance.json"
HISTORY: Final = "history"
SCHEMAS: Final = "schemas"
CERTIFICATES: Final = "certificates"
SIGNATURES: Final = "signatures"
STAC: Final = "stac"
TABLES: Final = "tables"
RASTERS: Final = "rasters"
LABELS: Final = "labels"

FILE_TEXTS: Final[Mapping[str, str]] = {
    README: "What the dataset is, and how to check it.",
    AGENTS: "How a program reads the release.",
    METHODS: "A paragraph for the methods section of a paper, with every figure computed.",
    DATASHEET: "The datasheet: motivation, composition, collection, uses, distribution, maintenance.",
    CITATION: "How to cite the dataset, in the Citation File Format.",
    BIBTEX: "How to cite the dataset, for BibTeX.",
    CROISSANT: "The dataset in Croissant 1.1, with GeoCroissant and Responsible AI properties.",
    PROVENANCE: "The provenance as PROV-JSON: which event by whom used and made which collection.",
    "revision.json": "The revision with its digests.",
    "geographer.lock": "The head of the log in the folder history.",
}
"""What each file is, for readers and for RO-Crate."""
FOLDER_TEXTS: Final[Mapping[str, str]] = {
    RASTERS: "The rasters and chips by collection, byte for byte as recorded.",
    LABELS: "The labels by name and collection, byte for byte as recorded.",
    TABLES: "The tables as GeoParquet: features, rasters, edges, chips, labels, objects, splits, classes, samples.",
    HISTORY: "The log as a segment: every event with its rows, from which the digests are computed.",
    SCHEMAS: "JSON Schemas of the events.",
    CERTIFICATES: "Leakage certificates of the splits.",
    STAC: "A STAC catalogue: a collection for each collection of rasters, an item for each raster.",
    SIGNATURES: "Signatures of the tag, and time stamps.",
}
"""What each folder holds."""
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".tif": "image/tiff; application=geotiff",
    ".json": "application/json",
    ".parquet": "application/x-parquet",
    ".md": "text/markdown",
    ".cff": "application/yaml",
    ".bib": "application/x-bibtex",
    ".lock": "application/json",
    ".zip": "application/zip",
}
"""The media type of a file by its suffix."""


class FileFacts(NamedTuple):
    """The size in bytes and the SHA-256, in hex, of a file."""

    size: int
    sha256: str


Files = Mapping[str, FileFacts]
"""Files by path in the release, with `/`."""


def find_media_type(path: str) -> str:
    """Return the media type of a file by its name."""
    return MEDIA_TYPES.get(f".{path.rpartition('.')[2]}", "application/octet-stream")
