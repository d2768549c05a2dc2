"""A change that records rasters in place: before it is recorded, this machine sets the roots that their paths need."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geographer.storage.request import BuildContext, Change
from geographer.storage.workspace.roots import set_roots

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReferenceChange(Change):
    """A change whose rows have references; `new_roots` are folders by name that this machine has not set yet."""

    new_roots: Mapping[str, Path] = field(default_factory=dict)

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Set the new roots, and log a warning for each: other machines must set them, too."""
        if self.new_roots:
            set_roots(context.root, self.new_roots)
        for name, folder in self.new_roots.items():
            logger.warning(
                "root '%s' is %s on this machine; others set it with: geographer roots set %s DIR", name, folder, name
            )
        return self
