"""Steps of a history, what the model knows of a clone, and how a difference is reported."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

CLONES: Final = ("A", "B", "C")


class MismatchError(AssertionError):
    """The product does something else than the model."""


class Step(NamedTuple):
    """A command on a clone; `kill_point` is the number of the change of a file at which its process is killed."""

    clone: str
    command: str
    arguments: dict[str, Any]
    kill_point: int | None = None

    def __str__(self) -> str:
        killed = "" if self.kill_point is None else f" (killed at point {self.kill_point})"
        return f"{self.clone}: {self.command} {json.dumps(self.arguments)}{killed}"


@dataclass
class Clone:
    """What the model knows of a clone: the heads of its branches, the one in use, and what it has fetched."""

    name: str
    heads: dict[str, str]
    branch: str = "main"
    fetched: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        """The head of the branch in use."""
        return self.heads[self.branch]


def require_equal(what: str, expected: Any, actual: Any) -> None:
    """Raise `MismatchError` with the differences, unless two values are equal."""
    if expected != actual:
        differences = "\n".join(list_differences(expected, actual)[:12])
        raise MismatchError(f"{what} differs (model, product):\n{differences}")


def list_differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """List the places where two nested values differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [
            line
            for key in sorted({*expected, *actual}, key=repr)
            if expected.get(key) != actual.get(key)
            for line in list_differences(expected.get(key), actual.get(key), f"{path}/{key}")
        ]
    if isinstance(expected, set) and isinstance(actual, set):
        return [f"{path} only model: {expected - actual}, only product: {actual - expected}"]
    return [f"{path}: {expected!r:.300} | {actual!r:.300}"]
