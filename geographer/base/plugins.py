"""Plugins: users' functions and classes, found by entry point or as `module:name`, recorded by name and version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import PluginError, UsageError, quote_names

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_PATH: Final = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
"""`module:qualified.name`."""
_REGISTERED: dict[str, Any] = {}
"""Plugins that were passed as objects in this process, by `module:qualname`."""


@dataclass(frozen=True, slots=True)
class PluginKind:
    """A kind of plugin.

    Attributes:
        noun: What errors call it, and its key in the log.
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

        `PluginError` if it is not installed or cannot be imported, `UsageError` if an object has no importable name.
        """
        if not isinstance(plugin, str):
            if "<" in getattr(plugin, "__qualname__", "<"):
                reason = "has no name by which it can be imported again"
                raise UsageError(f"{plugin!r} {reason}. Define it at the top of a module.")
            if plugin.__module__ == "__main__":
                reason = "is defined in a script or notebook, from which no other process can import it"
                raise UsageError(
                    f"{self.noun} '{plugin.__qualname__}' {reason}. Define it in a module, and import that."
                )
            name = f"{plugin.__module__}:{plugin.__qualname__}"
            _REGISTERED[name] = plugin
            return PluginRef(self, name, plugin_version(plugin))
        if plugin in self.built_in:
            return PluginRef(self, plugin, "")
        return PluginRef(self, plugin, plugin_version(self.require_plugin(plugin)))

    def parse_plugin(self, plugin: Any) -> PluginRef:
        """Return the reference to a plugin: one itself, or as the log records it, or see `resolve_plugin`."""
        if isinstance(plugin, Mapping):
            return PluginRef(self, plugin[self.noun], plugin["version"])
        return plugin if isinstance(plugin, PluginRef) else self.resolve_plugin(plugin)

    def load_plugin(self, name: str) -> Any:
        """Return the function or class, or None if it is not installed; `PluginError` if importing it fails."""
        from importlib.metadata import EntryPoint

        if name in _REGISTERED:
            return _REGISTERED[name]
        path = self.built_in.get(name, name)
        registered = None if name in self.built_in else find_entry_point(self.group, name)
        if registered is None and not _PATH.fullmatch(path):
            return None
        entry = registered or EntryPoint(name, path, self.group)
        try:
            return entry.load()
        except (Exception, SystemExit) as error:
            is_missing = isinstance(error, ModuleNotFoundError) and f"{entry.module}.".startswith(f"{error.name}.")
            if is_missing and registered is None:
                return None
            reason, advice = f"{type(error).__name__}: {error}", "Correct it, or install the packages that it needs."
            raise PluginError(f"{self.noun} '{name}' cannot be imported ({reason}). {advice}") from error

    def require_plugin(self, name: str, known_version: str = "") -> Any:
        """Return the function or class of that name; a `PluginError` if it is not installed or importing it fails."""
        plugin = self.load_plugin(name)
        if plugin is None:
            from importlib.metadata import entry_points

            label = f"'{name}' {known_version}".rstrip()
            installed = quote_names(sorted({*self.built_in, *entry_points(group=self.group).names}), limit=20)
            raise PluginError(
                f"{self.noun} {label} not found: neither an entry point of {self.group} (installed: "
                f"{installed or 'none'}) nor an importable module:name. Install the package that defines it."
            )
        return plugin

    def make_instance(self, plugin: Any, name: str, base: type, options: Mapping[str, Any]) -> Any:
        """Return the plugin called with its options; `UsageError` unless it accepts them and makes a `base`."""
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

    Two references are equal if kind and name are equal; each event records the version that ran.
    """

    kind: PluginKind
    name: str
    version: str = field(compare=False)

    def load_plugin(self) -> Any:
        """Return the function or class, or None if it is not installed; see `PluginKind.load_plugin`."""
        return self.kind.load_plugin(self.name)

    def require_plugin(self) -> Any:
        """Return the function or class; see `PluginKind.require_plugin`."""
        return self.kind.require_plugin(self.name, self.version)

    def to_json(self) -> dict[str, str]:
        """Return the reference as the log records it."""
        return {self.kind.noun: self.name, "version": self.version}


def find_entry_point(group: str, name: str) -> EntryPoint | None:
    """Return the entry point of a group by its name, or None."""
    from importlib.metadata import entry_points

    return next(iter(entry_points(group=group, name=name)), None)


def accept_old_names(plugin_class: type, names: Mapping[str, str]) -> None:
    """Let a user's subclass define members under the names of earlier releases (old name to current name)."""
    for old, current in names.items():
        if old in vars(plugin_class) and current not in vars(plugin_class):
            setattr(plugin_class, current, vars(plugin_class)[old])


def plugin_version(plugin: Any) -> str:
    """Return a plugin's attribute `version`, else the version of its distribution, else an empty text."""
    from importlib.metadata import version

    stated = getattr(plugin, "version", None)
    if isinstance(stated, str | int | float):
        return str(stated)
    package = str(getattr(plugin, "__module__", "")).partition(".")[0]
    distributions = _read_distributions().get(package)
    return version(distributions[0]) if distributions else ""


@cache
def _read_distributions() -> Mapping[str, list[str]]:
    """Return the distributions of each package; cached, because reading them takes half a second."""
    from importlib.metadata import packages_distributions

    return packages_distributions()
