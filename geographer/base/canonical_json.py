"""Canonical JSON by RFC 8785 (JSON Canonicalization Scheme): equal values give equal bytes."""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from geographer.base.errors import UsageError


def canonical_json(value: Any) -> str:
    """Return the canonical text of `value`; `UsageError` if it has NaN, infinity, or an integer of 2^53 or more."""
    try:
        return rfc8785.dumps(value).decode()
    except rfc8785.CanonicalizationError as error:
        raise UsageError(
            f"the value cannot be recorded: {error}. Use finite numbers below 2^53, and text in UTF-8."
        ) from error


def parse_canonical_json(text: str) -> Any:
    """Parse a canonical text. Integers of 2^53 or more were floats, which are written without a decimal point."""
    return json.loads(text, parse_int=lambda digits: int(digits) if abs(int(digits)) < 2**53 else float(digits))
