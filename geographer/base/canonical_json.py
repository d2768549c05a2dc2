"""TODO."""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from geographer.base.errors import UsageError


def canonical_json(value: Any) -> str:
    """RFC 8785 (JSON Canonicalization Scheme) text of `value`.

    Raises:
        UsageError: it holds what JSON has no number for: NaN, infinity, whole numbers from 2^53 on.
    """
    try:
        return rfc8785.dumps(value).decode()
    except rfc8785.CanonicalizationError as error:
        raise UsageError(f"that can't be recorded: {error}; use a number below 2^53, no NaN, no infinity") from error


def parse_canonical_json(text: str) -> Any:
    """What a canonical text says; digits from 2^53 on were a float's, which is written without a point."""
    return json.loads(text, parse_int=lambda digits: int(digits) if abs(int(digits)) < 2**53 else float(digits))
