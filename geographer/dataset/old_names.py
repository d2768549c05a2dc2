"""Names of version 0.1.0: methods and keyword arguments of `Dataset` that work for one more release."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar
from warnings import warn

P = ParamSpec("P")
Result = TypeVar("Result")

OLD_METHODS: Final = {
    "cut_own": "cut_custom",
    "label_own": "label_custom",
    "label_soft": "label_probabilities",
    "harden_classes": "set_classes_from_probabilities",
    "updating": "iter_updates",
    "table": "read_table",
    "json_lines": "format_json_lines",
    "geojson_features": "format_geojson_features",
}
OLD_ARGUMENTS: Final = {"afresh": "rebuild_covers", "keep_twins": "keep_reprocessed"}


def replace_old_name(name: str, names: dict[str, str]) -> str:
    """Return the current name of a method or argument, and warn that `name` is an old one."""
    warn(f"'{name}' is deprecated. Use '{names[name]}'.", DeprecationWarning, stacklevel=3)
    return names[name]


def accept_old_arguments(method: Callable[P, Result]) -> Callable[P, Result]:
    """Let a method be called with the old names of its keyword arguments."""

    @wraps(method)
    def call_with_current_names(*args: P.args, **kwargs: P.kwargs) -> Result:
        for name in OLD_ARGUMENTS.keys() & kwargs.keys():
            kwargs[replace_old_name(name, OLD_ARGUMENTS)] = kwargs.pop(name)
        return method(*args, **kwargs)

    return call_with_current_names
