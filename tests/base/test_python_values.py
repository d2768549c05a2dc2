"""Values of numpy, pandas and Arrow as values of Python."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from geographer.base.python_values import make_python_value

TIME = datetime.datetime(2020, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.str_("a"), "a"),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["a", np.int8(1)], dtype=object), ["a", 1]),
        (np.datetime64(TIME, "ns"), TIME),
        (np.array(["2020-01-02", "NaT"], dtype="datetime64[ns]"), [datetime.datetime(2020, 1, 2), None]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.Index(["a"]), ["a"]),
        (pd.NA, None),
        (pd.NaT, None),
        (pa.scalar("a"), "a"),
        (pa.array([1, None]), [1, None]),
        (pa.chunked_array([[1], [2]]), [1, 2]),
        ({"train": np.float64(0.5)}, {"train": 0.5}),
        ([np.int64(1), (np.int64(2), None)], [1, (2, None)]),
    ],
)
def test_values_become_those_of_python(value: Any, expected: Any) -> None:
    converted = make_python_value(value)
    assert converted == expected
    assert type(converted) is type(expected)
    if isinstance(expected, list | tuple):
        assert [*map(type, converted)] == [*map(type, expected)]


@pytest.mark.parametrize("value", [pd.DataFrame({"a": [1]}), pa.table({"a": [1]}), len, range(3), {1, 2}, TIME])
def test_other_objects_stay(value: Any) -> None:
    assert make_python_value(value) is value
