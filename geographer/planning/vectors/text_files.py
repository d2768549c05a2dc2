"""Text files: the encoding of a vector file's text, and copies of text files in UTF-8."""

import codecs
import re
from pathlib import Path
from typing import NamedTuple

_TEXT_SUFFIXES = frozenset(
    {
        *{".csv", ".geojson", ".geojsonl", ".geojsons", ".gml", ".gmt", ".gpx", ".jml", ".json", ".kml"},
        *{".mid", ".mif", ".topojson", ".tsv", ".txt", ".xml"},
    }
)
_CODE_PAGES = {"65001": "utf-8", "54936": "gb18030", "20866": "koi8-r", "10000": "mac_roman", "1361": "johab"}
"""Numbers of code pages that Python knows by another name."""
_LANGUAGES = {0x04: "mac_roman", 0x09: "cp437", 0x57: "cp1252"}
"""Encodings of dBASE tables by language driver id, where GDAL knows none or another one."""
_XML_ENCODING = re.compile(r"""(<\?xml[^>]*?)\s+encoding=(["'])[^"']*\2""")
_BLOCK_SIZE = 1 << 20


class TextFile(NamedTuple):
    """The file to read, and the encoding of its text if it has to be decoded after reading."""

    path: Path
    encoding: str | None


def prepare_text_file(path: Path, folder: Path, encoding: str | None) -> TextFile:
    """Return how to read the text of a file: as it is, as a copy in UTF-8 in `folder`, or by decoding its values.

    `encoding` is Python's name of one, or None. `ValueError` if a line of a text file is not in that encoding.
    """
    if path.suffix.lower() == ".shp":
        return TextFile(path, encoding or find_dbf_encoding(path))
    if encoding is None or path.suffix.lower() not in _TEXT_SUFFIXES:
        return TextFile(path, encoding)
    copies = folder / "utf-8"
    copies.mkdir()
    for file in path.parent.iterdir():
        if file.stem == path.stem and file.suffix.lower() in _TEXT_SUFFIXES:
            _copy_as_utf8(file, copies / file.name, encoding)
        elif file.stem == path.stem:
            (copies / file.name).symlink_to(file)
    return TextFile(copies / path.name, None)


def find_dbf_encoding(path: Path) -> str | None:
    """Return the encoding that a Shapefile states in its .cpg file, or in the header of its table; None: ask GDAL."""
    code_page, table = _find_sibling(path, ".cpg"), _find_sibling(path, ".dbf")
    if code_page.is_file():
        return parse_code_page(code_page.read_bytes().decode("ascii", "replace"))
    if not table.is_file():
        return None
    with table.open("rb") as file:
        header = file.read(30)
    return _LANGUAGES.get(header[29]) if len(header) == 30 else None


def parse_code_page(text: str) -> str | None:
    """Return Python's name of an encoding that a .cpg file names, or None: `1252`, `ANSI 1252`, `88591`, `Big5`."""
    text = re.sub(r"[\s_-]", "", text.lower())
    if match := re.fullmatch(r"(?:iso)?8859(\d{1,2})", text):
        name = f"iso8859-{match[1]}"
    else:
        number = re.fullmatch(r"(?:ansi|oem|cp|ms|windows|ibm|dos)?(\d+)", text)
        name = _CODE_PAGES.get(number[1], f"cp{number[1]}") if number else text
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def _find_sibling(path: Path, suffix: str) -> Path:
    """Return the file beside `path` with another suffix, in the case that it has."""
    upper = path.with_suffix(suffix.upper())
    return upper if upper.is_file() else path.with_suffix(suffix)


def _copy_as_utf8(path: Path, copy: Path, encoding: str) -> None:
    try:
        with path.open(encoding=encoding, newline="") as source, copy.open("w", encoding="utf-8", newline="") as target:
            target.write(_XML_ENCODING.sub(r"\1", source.read(_BLOCK_SIZE), count=1))
            while block := source.read(_BLOCK_SIZE):
                target.write(block)
    except UnicodeDecodeError as error:
        with path.open("rb") as file:
            lines = (number for number, line in enumerate(file, 1) if not _is_decodable(line, encoding))
            number = next(lines, 0)
        where = f"line {number}" if number else "its text"
        raise ValueError(
            f"{where} is not in the encoding {encoding} ({error.reason}). Pass another --encoding"
        ) from error


def _is_decodable(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
