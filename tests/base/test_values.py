"""Widths: what a person may write, and the one text that is recorded."""

from __future__ import annotations

import pytest

from geographer.base.errors import UsageError
from geographer.base.values import LineWidth, parse_line_width


@pytest.mark.parametrize(
    ("given", "width", "text"),
    [
        (3, LineWidth(3, "px"), "3px"),
        ("3", LineWidth(3, "px"), "3px"),
        ("3.0 px", LineWidth(3, "px"), "3px"),
        (0.1, LineWidth(0.1, "px"), "0.1px"),
        ("5m", LineWidth(5, "m"), "5m"),
        ("12.3456789m", LineWidth(12.3456789, "m"), "12.3456789m"),
        ("1e-7m", LineWidth(1e-7, "m"), "1e-07m"),
    ],
)
def test_a_width_is_read_and_written_so_that_it_reads_the_same(given, width, text):
    assert parse_line_width(given) == width
    assert str(width) == text
    assert parse_line_width(text) == width


@pytest.mark.parametrize("given", ["", "m", "3km", "0", "-1px", "nan", "inf", "1..2px", "1e999px", "px3", True, None])
def test_what_is_no_width_is_refused(given):
    with pytest.raises(UsageError, match="no width"):
        parse_line_width(given)
