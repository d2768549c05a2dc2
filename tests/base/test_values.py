"""Line widths: accepted forms, and the canonical text that the log records."""

from __future__ import annotations

import pytest

from geographer.base.errors import UsageError
from geographer.base.values import LineWidth, parse_line_width


@pytest.mark.parametrize(
    ("value", "width", "text"),
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
def test_parse_line_width_round_trips(value, width, text):
    assert parse_line_width(value) == width
    assert str(width) == text
    assert parse_line_width(text) == width


@pytest.mark.parametrize("value", ["", "m", "3km", "0", "-1px", "nan", "inf", "1..2px", "1e999px", "px3", True, None])
def test_parse_line_width_rejects_other_values(value):
    with pytest.raises(UsageError, match="invalid width"):
        parse_line_width(value)
