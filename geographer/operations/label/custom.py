"""The recipe of labels that a person's own label maker draws, found by entry point or handed over in Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import PluginError, UsageError, quote_names
from geographer.base.plugins import plugin_version
from geographer.operations.label.base import LabelRecipe

if TYPE_CHECKING:
    from geographer.operations.label.rendering.custom import OwnDrawing
    from geographer.storage.queries.revision import Revision

GROUP: Final = "geographer.labels"
"""The entry points under which distributions offer label makers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOwn(LabelRecipe):
    """What the label maker `maker` draws, with `options`; see `LabelMaker`.

    `maker` is the name of an entry point, or `module:Class`. The version of its distribution, or else its own attribute
    `version`, is recorded: when another version is installed, an update makes all labels anew.
    """

    kind: ClassVar[str] = "label own"
    needs_classes: ClassVar[bool] = False
    needs_properties: ClassVar[bool] = True

    maker: str
    options: dict[str, Any] = field(default_factory=dict)

    def form(self, revision: Revision) -> dict[str, Any]:
        """The maker's class and version.

        Raises:
            ExtensionError: no label maker of that name is installed.
            UsageError: it can't be used, or has no version, or doesn't take its options.
        """
        from geographer.operations.label.rendering.custom import made, maker_class

        canonical_json(self.options)
        point = _entry_point(self.maker)
        place = point.value if point else self.maker
        found = maker_class(place)
        made(place, self.options)
        distribution = point.dist.version if point and point.dist else _version_of(found)
        return {"maker": {"class": place, "version": distribution}}

    def drawing(self, form: dict[str, Any]) -> OwnDrawing:
        """See `OwnDrawing`."""
        from geographer.operations.label.rendering.custom import OwnDrawing

        return OwnDrawing(form["maker"]["class"], self.options, self.drawn_width())


def name_of(maker: str | type) -> str:
    """The name under which a label maker is recorded: as it is given, or `module:Class` of a class.

    Raises:
        UsageError: the class can't be imported by that name, so no update would find it.
    """
    if isinstance(maker, str):
        return maker
    place = f"{maker.__module__}:{maker.__qualname__}"
    if maker.__module__ == "__main__" or "<locals>" in place:
        raise UsageError(f"label maker '{place}' can't be imported later: move it to a module of its own")
    return place


def _entry_point(name: str) -> EntryPoint | None:
    """The entry point of that name; None for `module:Class`."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name in points:
        return points[name]
    if ":" not in name:
        known = quote_names(sorted(points), limit=20) or "none"
        raise PluginError(f"no label maker '{name}' is installed: there are {known}; or give module:Class")
    return None


def _version_of(maker: Any) -> str:
    version = plugin_version(maker)
    if not version:
        raise UsageError(
            f"label maker '{maker.__module__}:{maker.__qualname__}' has no version to record: give it an attribute "
            'version = "1", and another one whenever it draws differently'
        )
    return version
