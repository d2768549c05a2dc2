"""`label custom`: labels that a user's label maker draws, found by entry point or passed as a Python class."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.base.plugins import find_entry_point, plugin_version
from geographer.operations.label.base import LabelRecipe
from geographer.operations.label.events import make_payload_rules
from geographer.planning.shared_parameters import OPTIONS
from geographer.planning.up_to_date_labels import LabelSettings, MakerRun
from geographer.storage.queries.revision import Revision


def _name_label_maker(maker: str | type) -> str:
    """Return the name by which a label maker is recorded: the name itself, or `module:Class` of a class."""
    if isinstance(maker, str):
        return maker
    path = f"{maker.__module__}:{maker.__qualname__}"
    if maker.__module__ == "__main__" or "<locals>" in path:
        raise UsageError(f"label maker '{path}' cannot be imported again. Define it at the top of a module.")
    return path


_MAKER: Final = Parameter(
    "A label maker: an entry point of geographer.labels, or module:Class.",
    *("NAME", "none", "", _name_label_maker),
    schema={"type": "string", "minLength": 1},
)
_OPTIONS: Final = OPTIONS._replace(help="An option of the label maker; the value is JSON or text.", flags="--option")


class LabelCustom(LabelRecipe, kw_only=True, frozen=True):
    """Make labels with your own label maker, a class as geographer.LabelMaker describes.

    The log records the version of the label maker's distribution, or else its attribute `version`. If another version
    is installed, an update makes all labels again.
    """

    kind: ClassVar[str] = "label own"
    renderer: ClassVar[str] = "custom:render_custom_labels"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("labels", "maker")
    needs_classes: ClassVar[bool] = False
    needs_properties: ClassVar[bool] = True
    example: ClassVar[str] = "label custom depth --collection chips --maker my_module:Depths"

    maker: Annotated[str | type, _MAKER]
    options: Annotated[Mapping[str, Any], _OPTIONS] = {}

    def determine_settings(self, revision: Revision) -> LabelSettings:
        """Return the label maker's class and version; raise `UsageError` if it has none, or see `make_label_maker`."""
        from geographer.operations.label.rendering.custom import LABEL_MAKERS, make_label_maker

        name = str(self.maker)
        maker_class = type(make_label_maker(name, self.options))
        point = find_entry_point(LABEL_MAKERS.group, name)
        version = point.dist.version if point and point.dist else plugin_version(maker_class)
        if not version:
            raise UsageError(
                f"label maker '{maker_class.__module__}:{maker_class.__qualname__}' has no version to record. Give it "
                'an attribute version = "1", and change the version whenever it draws differently.'
            )
        return LabelSettings(maker=MakerRun(class_path=point.value if point else name, version=version))

    def find_up_to_date_labels(self, _revision: Revision) -> None:
        """See `LabelSource`; a label maker may depend on anything."""
