"""Plugins: users' functions and classes, found by entry point or as `module:name`, recorded by name and version."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from geographer.base.errors import NotFoundError, PluginError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REGISTERED: dict[str, Any] = {}
"""Plugins that were passed as objects in this process, by `module:qualname`."""


@dataclass(frozen=True, slots=True)
class PluginKind:
    """A kind of plugin.

    Attributes:
        noun: What errors call it, and its key in the log: `selector`, `cutter`, `source`, `reader`.
        group: The entry points that name plugins of this kind.
        base: The class that plugins subclass, as users import it; empty for functions.
        built_in: The plugins of this package, name to `module:Class`; imported when they are used.
    """

    noun: str
    group: str
    base: str = ""
    built_in: Mapping[str, str] = field(default_factory=dict, compare=False)

    def resolve_plugin(self, plugin: Any) -> PluginRef:
        """Return the reference to a plugin that is given as an object or by name.

        Raises:
            NotFoundError: no plugin has that name.
            UsageError: the object has no name by which it can be imported again.
        """
        if not isinstance(plugin, str):
            if "<" in getattr(plugin, "__qualname__", "<"):
                raise UsageError(
                    f"{plugin!r} has no name by which it can be imported again. Define it at the top of a module."
                )
            name = f"{plugin.__module__}:{plugin.__qualname__}"
            _REGISTERED[name] = plugin
            return PluginRef(self, name, plugin_version(plugin))
        if plugin in self.built_in:
            return PluginRef(self, plugin, "")
        found = self.load_plugin(plugin)
        if found is None:
            raise NotFoundError(
                f"{self.noun} '{plugin}' not found: neither an entry point of {self.group} nor an importable "
                "module:name. Install the package that defines it."
            )
        return PluginRef(self, plugin, plugin_version(found))

    def load_plugin(self, name: str) -> Any:
        """Return the function or class of that name, or None if this process cannot import it."""
        if name in _REGISTERED:
            return _REGISTERED[name]
        entry = None if name in self.built_in else find_entry_point(self.group, name)
        if entry:
            return entry.load()
        try:
            return import_object(self.built_in.get(name, name))
        except (ImportError, AttributeError, ValueError):
            return None

    def make_instance(self, plugin: Any, name: str, base: type, options: Mapping[str, Any]) -> Any:
        """Return the plugin class called with its options.

        Raises:
            UsageError: it does not accept them, or the result is not an instance of `base`.
        """
        try:
            instance = plugin(**options)
        except TypeError as error:
            raise UsageError(f"{self.noun} '{name}' does not accept its options: {error}") from error
        if not isinstance(instance, base):
            raise UsageError(f"{self.noun} '{name}' is not a {self.base}. Make it a subclass of {self.base}.")
        return instance


@dataclass(frozen=True, slots=True)
class PluginRef:
    """A reference to a plugin: an entry point's name or `module:name`, and the version when it was first used.

    Two references are equal if kind and name are equal: a newer version is the same plugin, and each event records the
    version that ran.
    """

    kind: PluginKind
    name: str
    version: str = field(compare=False)

    def load_plugin(self) -> Any:
        """Return the function or class, or None if this process cannot import it."""
        return self.kind.load_plugin(self.name)

    def require_plugin(self) -> Any:
        """Return the function or class.

        Raises:
            PluginError: this process cannot import it.
        """
        plugin = self.load_plugin()
        if plugin is None:
            label = f"'{self.name}' {self.version}".rstrip()
            raise PluginError(f"{self.kind.noun} {label} cannot be imported. Install the package that defines it.")
        return plugin

    def to_json(self) -> dict[str, str]:
        """Return the reference as the log records it."""
        return {self.kind.noun: self.name, "version": self.version}


def import_object(path: str) -> Any:
    """Return what `module:qualified.name` names.

    Raises:
        ImportError, AttributeError, ValueError: it cannot be imported, or `path` has another form.
    """
    module, _, qualified = path.partition(":")
    if not qualified:
        raise ValueError(f"'{path}' is not of the form module:name")
    return attrgetter(qualified)(import_module(module))


def find_entry_point(group: str, name: str) -> EntryPoint | None:
    """Return the entry point of a group by its name, or None."""
    return next(iter(entry_points(group=group, name=name)), None)


def accept_old_names(plugin_class: type, names: Mapping[str, str]) -> None:
    """Let a user's subclass define members under the names of earlier releases (old name to current name)."""
    for old, current in names.items():
        if old in vars(plugin_class) and current not in vars(plugin_class):
            setattr(plugin_class, current, vars(plugin_class)[old])


def plugin_version(plugin: Any) -> str:
    """Return a plugin's attribute `version`, else the version of its distribution, else an empty text."""
    stated = getattr(plugin, "version", None)
    if isinstance(stated, str | int | float):
        return str(stated)
    package = str(getattr(plugin, "__module__", "")).partition(".")[0]
    distributions = _read_distributions().get(package)
    return version(distributions[0]) if distributions else ""


_read_distributions = cache(packages_distributions)
"""Returns the distributions of each package; cached, because reading them takes half a second."""
