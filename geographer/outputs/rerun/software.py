"""Software: which recorded version of GDAL, GEOS, PROJ, numpy, DuckDB or geographer is not that of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple

import msgspec

from geographer import __version__
from geographer.storage.events.payload import EventPayload

_BUNDLED: Final = ("gdal", "proj", "geos")
_PLUGIN_FIELDS: Final = ("cutter", "maker")


class VersionDifference(NamedTuple):
    """A version that an event recorded and this machine does not have; None: not recorded, or not installed."""

    software: str
    recorded: str | None
    present: str | None

    def format_text(self) -> str:
        """Return the difference in words."""
        recorded = self.recorded or "an unrecorded version"
        return f"{self.software} {recorded} made it, this machine has {self.present or 'none'}"


def list_version_differences(payload: EventPayload) -> list[VersionDifference]:
    """Return the versions of software that an event recorded and that differ on this machine, by name."""
    recorded = payload.software if isinstance(payload.software, Mapping) else {}
    present = {name: _find_version(name) for name in recorded}
    if not recorded:
        return [VersionDifference("geographer", None, __version__)]
    return [
        VersionDifference(name, recorded[name], present[name])
        for name in sorted(recorded)
        if recorded[name] != present[name]
    ]


def list_plugin_differences(recorded: EventPayload, planned: EventPayload) -> list[VersionDifference]:
    """Return the plugins (cutter, label maker, selectors) of an event that this machine has in another version."""
    before, after = dict(_iter_plugins(recorded)), dict(_iter_plugins(planned))
    return [
        VersionDifference(name, before[name], after.get(name))
        for name in sorted(before)
        if before[name] != after.get(name)
    ]


def _iter_plugins(payload: EventPayload) -> Iterator[tuple[str, str]]:
    content: dict[str, Any] = msgspec.to_builtins(payload)
    for field in _PLUGIN_FIELDS:
        if run := content.get(field):
            yield f"{field} '{run.get('cutter') or run.get('class')}'", run["version"]
    for subject, run in (content.get("selectors") or {}).items():
        # One that is not installed does not run: what it chose before is used.
        if run["ran"]:
            yield f"selector of {subject}s '{run['selector']}'", run["version"]


def _find_version(name: str) -> str | None:
    if name == "geographer":
        return __version__
    if name in _BUNDLED:
        from geographer.rasters.write import read_software_versions

        return read_software_versions()[name]
    try:
        return version(name)
    except PackageNotFoundError:
        return None
