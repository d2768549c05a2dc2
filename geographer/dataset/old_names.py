"""Names of version 0.1.0: methods and keyword arguments of `Dataset` that work for one more release."""

from typing import Any, Final
from warnings import warn

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
    warn(f"'{name}' is deprecated. Use '{names[name]}'.", DeprecationWarning, stacklevel=4)
    return names[name]


def replace_old_arguments(arguments: dict[str, Any]) -> Any:
    """Return keyword arguments under their current names."""
    names = {name: replace_old_name(name, OLD_ARGUMENTS) for name in OLD_ARGUMENTS.keys() & arguments.keys()}
    return {names.get(name, name): value for name, value in arguments.items()}
