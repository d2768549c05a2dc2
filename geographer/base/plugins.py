"""What a person brings along: functions and classes of their own, recorded by name and version, found again by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from typing import TYPE_CHECKING, Any

from geographer.base.errors import NotFoundError, PluginError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_BROUGHT: dict[str, Any] = {}
"""What was given as an object in this process, by name."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A function or class of one's own: the name of its entry point or `module:name`, and its version.

    The version says what ran first; a newer one is the same extension, and each event says which one ran.
    """

    name: str
    version: str = field(compare=False)

    @classmethod
    def resolve(cls, given: Any, group: str) -> tuple[str, str]:
        """The name and version of an object, or of what a name in the group of entry points stands for.

        Raises:
            NotFoundError: nothing is found by that name.
            UsageError: the object has no name.
        """
        if not isinstance(given, str):
            if "<" in getattr(given, "__qualname__", "<"):
                raise UsageError(
                    f"{given!r} has no name by which it is found again: define it by one at the top of a module"
                )
            name = f"{given.__module__}:{given.__qualname__}"
            _BROUGHT[name] = given
            return name, plugin_version(given)
        found = _found(given, group)
        if found is None:
            raise NotFoundError(
                f"no '{given}' among the entry points of {group}, and no module:name of that kind: install what has it"
            )
        return given, plugin_version(found)

    def load(self, group: str) -> Any:
        """The object, or None where it can't be had in this process."""
        return _found(self.name, group)

    def load_or_raise(self, group: str) -> Any:
        """The object.

        Raises:
            ExtensionError: it can't be had in this process.
        """
        found = self.load(group)
        if found is None:
            raise PluginError(f"'{self.name}' {self.version} can't be imported here: install what has it")
        return found


def _found(name: str, group: str) -> Any:
    if name in _BROUGHT:
        return _BROUGHT[name]
    for entry in entry_points(group=group, name=name):
        return entry.load()
    module, _, qualified = name.partition(":")
    try:
        found = import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        return None
    return found if qualified else None


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Which distributions each package belongs to: that takes half a second to find out."""
    return packages_distributions()


def plugin_version(given: Any) -> str:
    """The attribute `version` of an object, or that of the distribution that its module belongs to, or nothing."""
    stated = getattr(given, "version", None)
    if isinstance(stated, str | int | float):
        return str(stated)
    package = str(getattr(given, "__module__", "")).partition(".")[0]
    for distribution in _distributions().get(package, ()):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return ""
