"""GDAL vector reader: a script that converts a vector file to Parquet, in a process of its own.

A damaged file can crash GDAL, and with it the process. The script imports no other module of geographer, so that it
starts fast. Its tasks are lines of JSON with the arguments of `convert_file`.
"""

import codecs
import json
import os
import re
import sys
from pathlib import Path

import duckdb

_CODES = {"65001": "utf-8", "54936": "gb18030", "20866": "koi8-r", "10000": "mac_roman"}
"""Numbers of code pages that Python knows by another name."""
_LANGUAGES = {
    "cp437": "01 09 0b 0d 0f 11 15 18 19 1b",
    "cp850": "02 0a 0e 10 12 14 16 1a 1d 25 37",
    "cp1252": "03 57 58 59",
    "cp852": "1f 22 23 40 64 87",
    "cp866": "26 65",
    "cp865": "08 17 66",
    "cp932": "13 7b",
    "cp936": "4d 7a",
    "cp949": "4e 79",
    "cp950": "4f 78",
    "cp874": "50 7c",
    "cp863": "1c 6c",
    **{"mac_roman": "04", "cp860": "24", "cp861": "67", "cp737": "6a 86", "cp857": "6b 88"},
    **{"cp1250": "c8", "cp1251": "c9", "cp1254": "ca", "cp1253": "cb", "cp1257": "cc"},
}
"""Encodings of dBASE tables, each with its language driver ids in hexadecimal."""


_ENCODING_ADVICE = "Save it as UTF-8; or for a Shapefile, name its encoding in a .cpg file, such as 1252"


def convert_file(path: str, extension: str, output: str) -> dict[str, object]:
    """Write the features of the file at `path` to the Parquet file `output`, geometry as WKB, and describe them."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "allow_unsigned_extensions": True,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"LOAD '{_escape_literal(extension)}'")
    relation = f"ST_Read('{_escape_literal(path)}')"
    encoding = find_encoding(Path(path)) if path.lower().endswith(".shp") else None
    if encoding is not None:
        # DuckDB's GDAL decodes few encodings; it mistakes some for Latin-1.
        names = ["OGC_FID", *read_field_names(Path(path).with_suffix(_find_suffix(path, ".dbf")), encoding), "geom"]
        aliases = ", ".join(map(_quote_name, names))
        relation = f"ST_Read('{_escape_literal(path)}', open_options := ['ENCODING=']) AS layer({aliases})"

        def decode_text(content: bytes) -> str:
            return content.decode(encoding)

        connection.create_function("decode_text", decode_text, ["BLOB"], "VARCHAR")
    columns = {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}
    selected = [_select_column(name, kind, encoding) for name, kind in columns.items()]
    query = f"SELECT {', '.join(selected)} FROM {relation}"  # noqa: S608
    copy = f"COPY ({query}) TO '{_escape_literal(output)}' (FORMAT parquet, COMPRESSION lz4_raw)"
    count = connection.execute(copy).fetchall()[0][0]
    stated = None
    if path.lower().endswith(".fgb"):
        # GDAL reads a truncated file without an error.
        meta = f"SELECT layers[1].feature_count FROM ST_Read_Meta('{_escape_literal(path)}')"  # noqa: S608
        stated = connection.execute(meta).fetchall()[0][0]
    return {"columns": columns, "count": count, "stated": stated}


def find_encoding(path: Path) -> str | None:
    """Return the encoding other than UTF-8 that a Shapefile states: its .cpg file, or the header of its table."""
    code_page, table = path.with_suffix(_find_suffix(path, ".cpg")), path.with_suffix(_find_suffix(path, ".dbf"))
    if code_page.is_file():
        encoding = parse_code_page(code_page.read_bytes().decode("ascii", "replace"))
    elif table.is_file():
        with table.open("rb") as file:
            language = file.read(30)[29:].hex()
        encoding = next((name for name, languages in _LANGUAGES.items() if language in languages.split()), None)
    else:
        return None
    return None if encoding == "utf-8" else encoding


def parse_code_page(text: str) -> str | None:
    """Return Python's name of an encoding that a .cpg file names, or None: `1252`, `ANSI 1252`, `88591`, `Big5`."""
    text = re.sub(r"[\s_-]", "", text.lower())
    if match := re.fullmatch(r"(?:iso)?8859(\d{1,2})", text):
        name = f"iso8859-{match[1]}"
    else:
        number = re.fullmatch(r"(?:ansi|oem|cp|ms|windows|ibm|dos)?(\d+)", text)
        name = _CODES.get(number[1], f"cp{number[1]}") if number else text
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def read_field_names(path: Path, encoding: str) -> list[str]:
    """Return the names of the columns of a dBASE table."""
    content = path.read_bytes()[: 32 + 255 * 32]
    header = content[: int.from_bytes(content[8:10], "little") - 1]
    fields = [header[start : start + 11] for start in range(32, len(header), 32)]
    return [field.partition(b"\0")[0].strip().decode(encoding) for field in fields if field[:1] != b"\r"]


def _find_suffix(path: str | Path, suffix: str) -> str:
    """Return the suffix of a file beside `path` in the case that it has."""
    return next((name for name in (suffix, suffix.upper()) if Path(path).with_suffix(name).is_file()), suffix)


def _select_column(name: str, kind: str, encoding: str | None) -> str:
    column = _quote_name(name)
    if kind.startswith("GEOMETRY"):
        return f"ST_AsWKB({column})::BLOB AS {column}"
    if kind != "VARCHAR":
        return column
    if encoding is not None:
        return f"decode_text(encode({column})) AS {column}"
    problem = f"error('column {_escape_literal(repr(name))} has text that is not UTF-8. {_ENCODING_ADVICE}')"
    return f"coalesce(TRY(decode(encode({column}))), if({column} IS NULL, NULL, {problem})) AS {column}"


def _quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escape_literal(text: str) -> str:
    return text.replace("'", "''")


def run_tasks() -> None:
    """Answer each task of stdin on stdout; GDAL, which may print, gets another stdout."""
    with os.fdopen(os.dup(1), "w") as answers, Path(os.devnull).open("w") as devnull:
        os.dup2(devnull.fileno(), 1)
        for line in sys.stdin:
            try:
                answer = convert_file(**json.loads(line))
            except (duckdb.Error, OSError, ValueError) as error:
                answer = {"error": f"{error}".partition("\n")[0]}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    run_tasks()
