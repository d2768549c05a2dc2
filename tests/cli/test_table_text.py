"""Tables for people: what fits a terminal, how cells are shortened, and what is printed elsewhere."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import pytest

from geographer.cli import main
from geographer.cli.table_text import format_cell, format_table, measure_text, shorten_text
from tests.cli.runner import read_rows, run_command

NAMES = ("raster_id", "path", "width", "cloud", "sha256", "acquired", "place", "note")
TIME = datetime.datetime(2020, 1, 2, 3, 4, 5, 600)
ROWS: list[list[Any]] = [
    [
        "S2A_MSIL1C_20200101T100000_T32TPS",
        "rasters/source/B02.tif",
        10980,
        0.1234567,
        "a" * 64,
        TIME,
        "日本" * 9,
        "a b" * 30,
    ],
    ["b", None, None, None, None, None, None, None],
]


@pytest.mark.parametrize("width", [24, 40, 60, 80, 100, 132, 160, 200, 1000])
def test_lines_fit_the_terminal(width: int) -> None:
    table = format_table(NAMES, ROWS, width)
    assert max(map(measure_text, table.lines)) <= width
    shown = table.lines[0].split()
    assert [name for name in NAMES if name in {*shown, *table.left_out}] == [*NAMES]
    assert shown == [name for name in NAMES if name not in table.left_out]
    assert width < 1000 or "a b" * 30 in table.lines[1]


def test_ids_are_whole_without_a_terminal() -> None:
    (_, line), left_out = format_table(("raster_id", "text", "path"), [["a" * 99, "b" * 65, "c" * 99]])
    assert line.split() == ["a" * 99, "b" * 63 + "…", "c" * 99]
    assert left_out == []


def test_cells_are_shortened_by_kind() -> None:
    names, values = (
        ("feature_id", "n", "x", "time", "path", "text"),
        ["f" * 24, 12345, 0.123456789, TIME, "a/b/c/d/e.tif", "one two three"],
    )
    (_, line), left_out = format_table(names, [values], 74)
    assert line.split("  ") == ["f" * 24, "12345", "0.123457", "2020-01-02", "a/b/…tif", "one two…"]
    assert left_out == []


def test_widest_column_is_shortened_first() -> None:
    assert format_table(("a", "b"), [["x" * 10, "y" * 30]], 32).lines == [
        "a           b",
        f"{'x' * 10}  {'y' * 10}…{'y' * 9}",
    ]


def test_digests_are_left_out_first() -> None:
    table = format_table(("raster_id", "md5", "sha256", "class"), [["a", "b" * 32, "c" * 64, "pond"]], 28)
    assert table.left_out == ["sha256"]
    assert table.lines == ["raster_id  md5         class", "a          bbbbb…bbbb  pond"]


def test_numbers_are_on_the_right() -> None:
    rows = [["a", 1, 1.5, True], ["b", 100, None, False]]
    assert format_table(("id", "n", "x", "yes"), rows).lines == [
        "id    n    x  yes",
        "a     1  1.5  True",
        "b   100       False",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (b"12345", "(5 bytes)"),
        ("a\tb\nc", r"a\tb\nc"),
        ("\x1b[31mred\u202e", r"\x1b[31mred\u202e"),
        ("x" * 65, "x" * 65),
        ("né", "né"),
    ],
)
def test_cells_are_one_line(value: Any, text: str) -> None:
    assert format_cell(value) == text


def test_wide_letters_count_twice() -> None:
    assert measure_text("日本e\u0301") == 5
    assert [shorten_text("日本日本日本", width) for width in (12, 11, 5, 1)] == [
        "日本日本日本",
        "日本日…日本",
        "日本…",
        "…",
    ]


def test_terminal_shows_what_fits(sample_history: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(SystemExit) as caught:
        main(["-C", str(sample_history.root), "rasters", "--limit", "2"])
    printed = capsys.readouterr()
    assert caught.value.code == 0
    assert max(map(len, printed.out.splitlines())) <= 60
    assert "Columns that do not fit the terminal: " in printed.err
    assert "sha256" in printed.err
    assert "more rows; --limit 2" in printed.err


def test_columns_keep_their_order(sample_history: Any, capsys: Any) -> None:
    printed = run_command(sample_history.root, "features", "--columns", "class,feature_id,geometry", "--limit", "1")
    assert printed.splitlines()[0].split() == ["class", "feature_id", "geometry"]
    assert printed.splitlines()[1].split()[2] in ("POINT", "POLYGON")
    rows = read_rows(sample_history.root, "sql", "SELECT 1 AS a, 2 AS b, 3 AS c", "--columns", "c,A")
    assert rows == [{"c": 3, "a": 1}]
    for command in (["features"], ["sql", "SELECT 1 AS a"]):
        with pytest.raises(SystemExit) as caught:
            main(["-C", str(sample_history.root), *command, "--columns", "depht"])
        assert caught.value.code == 2
        assert "has no column 'depht'. Its columns are" in capsys.readouterr().err


def test_sql_parameters_are_texts(sample_history: Any) -> None:
    query = "SELECT $a AS a, $b::INT + 1 AS b"
    assert read_rows(sample_history.root, "sql", query, "--param", "a=x='", "--param", "$b=2") == [{"a": "x='", "b": 3}]


def test_sql_is_written_to_files(sample_history: Any, tmp_path: Any) -> None:
    import geopandas

    query = ("sql", "SELECT feature_id, geometry FROM features", "-o")
    for suffix in ("csv", "parquet", "jsonl", "txt"):
        assert run_command(sample_history.root, *query, str(tmp_path / f"q.{suffix}")) == ""
    count = len(read_rows(sample_history.root, "features"))
    assert len(geopandas.read_parquet(tmp_path / "q.parquet")) == count
    assert [len((tmp_path / f"q.{suffix}").read_text().splitlines()) for suffix in ("csv", "jsonl", "txt")] == [
        *(count + 1, count, count + 1),
    ]
