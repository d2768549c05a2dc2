"""A change whose stored rasters hold metadata that sidecar files of the added rasters have."""

from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

from geographer.base.atomic_files import check_file, translate_os_errors
from geographer.base.errors import CorruptError
from geographer.storage.request import BuildContext, Change


@dataclass(frozen=True, slots=True)
class EmbeddingChange(Change):
    """A change that stores copies of the rasters `embedded`, with their sidecar metadata, in place of these files."""

    embedded: Set[Path] = frozenset()

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Write the copies into the staging folder. Raise `CorruptError` if a raster was altered since planning."""
        from geographer.rasters.sidecars import embed_sidecar_metadata

        files = []
        for index, (path, checksums) in enumerate(self.files):
            stored = context.staging / f"{index}{path.suffix}" if path in self.embedded else path
            if path in self.embedded:
                with translate_os_errors(stored):
                    embed_sidecar_metadata(path, stored)
                if check_file(stored, checksums):
                    raise CorruptError(
                        f"raster '{path}', or a file beside it, changed while it was added. Nothing was recorded; run "
                        "the command again."
                    )
            files.append((stored, checksums))
        return replace(self, files=files)
