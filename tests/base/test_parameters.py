"""Declared parameters: conversion, bounds, choices, the record in the log and the JSON Schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter, list_parameters
from geographer.storage.events import EventPayload
from geographer.storage.request import Request


class PondsDug(EventPayload, kw_only=True, frozen=True):
    """Ponds were dug; not a kind, since it has no `kind`."""


class DigPonds(Request, kw_only=True, frozen=True):
    """Dig ponds."""

    event: ClassVar[type[EventPayload]] = PondsDug

    depth: Annotated[float, Parameter("How deep.", "METRES", minimum=0, is_above=True)] = 1.0
    fraction: Annotated[float | None, Parameter("How full.", "FRACTION", minimum=0, maximum=1)] = None
    shape: Annotated[Literal["round", "square"] | None, Parameter("Which shape.", key="form")] = None
    tags: Annotated[Sequence[str], Parameter("Its tags.", convert=tuple, records_default=False, schema={})] = ()
    hurry: Annotated[bool, Parameter("Dig fast.", key=None)] = False


def test_parameters_convert_their_values():
    request = DigPonds(depth=2, tags=["a"])
    assert (request.depth, type(request.depth), request.tags) == (2.0, float, ("a",))


def test_request_records_declared_keys():
    assert DigPonds(depth=2, hurry=True).to_json() == {"depth": 2, "fraction": None, "form": None}
    assert DigPonds(tags=["a"]).to_json()["tags"] == ["a"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 0}, r"^invalid --depth 0. Use a number above 0.$"),
        ({"depth": float("nan")}, "invalid --depth nan"),
        ({"fraction": 1.5}, r"^invalid --fraction 1.5. Use a number from 0 to 1.$"),
        ({"shape": "oval"}, r"^invalid --shape 'oval'. Use round or square.$"),
    ],
)
def test_invalid_values_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        DigPonds(**values)


def test_schema_follows_from_the_declaration():
    assert DigPonds.make_schema() == {
        "type": "object",
        "properties": {
            "depth": {"type": "number", "exclusiveMinimum": 0},
            "fraction": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "form": {"enum": ["round", "square", None]},
            "tags": {},
        },
        "required": ["depth", "fraction", "form"],
        "additionalProperties": False,
    }


def test_options_of_all_requests_come_first():
    names = [parameter.name for parameter in list_parameters(DigPonds)]
    assert names[:5] == ["message", "author", "idempotency_key", "expected_head", "dry_run"]
    assert names[5:] == ["depth", "fraction", "shape", "tags", "hurry"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": "2"}, r"^invalid --depth '2': Expected `float`, got `str`"),
        ({"shape": 3}, r"^invalid --shape 3: "),
        ({"hurry": "no"}, r"^invalid --hurry 'no': "),
        ({"author": 3}, r"^invalid --author 3: "),
        ({"tags": 5}, r"^invalid --tags 5: "),
    ],
)
def test_values_of_other_types_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        DigPonds(**values)


def test_numpy_numbers_and_paths_are_converted():
    values: dict[str, Any] = {"depth": np.float32(2), "message": Path("why")}
    request = DigPonds(**values)
    assert (request.depth, request.message) == (2.0, "why")
    assert type(request.depth) is float
