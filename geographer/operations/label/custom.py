"""Recipe of custom labels: drawn by a user's label maker, found by entry point or passed as a Python class."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import PluginError, UsageError, quote_names
from geographer.base.plugins import find_entry_point, plugin_version
from geographer.operations.label.base import LabelRecipe

if TYPE_CHECKING:
    from geographer.operations.label.rendering.custom import CustomRenderer
    from geographer.storage.queries.revision import Revision

ENTRY_POINT_GROUP: Final = "geographer.labels"
"""The group of entry points by which distributions offer label makers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCustom(LabelRecipe):
    """Labels that a `LabelMaker` draws.

    The event records the version of the label maker's distribution, or else its attribute `version`. If another
    version is installed, an update rebuilds all labels.

    Attributes:
        maker: The name of an entry point, or `module:Class`.
        options: Keyword arguments of the class, as JSON.
    """

    kind: ClassVar[str] = "label own"
    needs_classes: ClassVar[bool] = False
    needs_properties: ClassVar[bool] = True

    maker: str
    options: dict[str, Any] = field(default_factory=dict)

    def determine_settings(self, revision: Revision) -> dict[str, Any]:
        """Return the label maker's class and version.

        Raises:
            PluginError: no label maker of that name is installed.
            UsageError: it cannot be imported, has no version, or does not accept its options.
        """
        from geographer.operations.label.rendering.custom import make_label_maker

        canonical_json(self.options)
        point = _find_maker_entry_point(self.maker)
        path = point.value if point else self.maker
        maker = make_label_maker(path, self.options)
        version = point.dist.version if point and point.dist else _require_version(type(maker))
        return {"maker": {"class": path, "version": version}}

    def make_renderer(self, settings: dict[str, Any]) -> CustomRenderer:
        """Return the renderer that runs the label maker."""
        from geographer.operations.label.rendering.custom import CustomRenderer

        return CustomRenderer(settings["maker"]["class"], self.options, self.parse_width())


def name_label_maker(maker: str | type) -> str:
    """Return the name by which a label maker is recorded: the name itself, or `module:Class` of a class.

    Raises:
        UsageError: the class cannot be imported by that name later.
    """
    if isinstance(maker, str):
        return maker
    path = f"{maker.__module__}:{maker.__qualname__}"
    if maker.__module__ == "__main__" or "<locals>" in path:
        raise UsageError(f"label maker '{path}' cannot be imported again. Define it at the top of a module.")
    return path


def _find_maker_entry_point(name: str) -> EntryPoint | None:
    """Return the entry point of that name; None for `module:Class`."""
    point = find_entry_point(ENTRY_POINT_GROUP, name)
    if point is None and ":" not in name:
        names = quote_names(sorted(entry_points(group=ENTRY_POINT_GROUP).names), limit=20) or "none"
        raise PluginError(f"label maker '{name}' not found (installed: {names}). Install it, or pass module:Class.")
    return point


def _require_version(maker: Any) -> str:
    version = plugin_version(maker)
    if not version:
        raise UsageError(
            f"label maker '{maker.__module__}:{maker.__qualname__}' has no version to record. Give it an attribute "
            'version = "1", and change the version whenever it draws differently.'
        )
    return version
