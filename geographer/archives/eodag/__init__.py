"""Every provider that eodag supports, and any STAC API, through the eodag client; `source` is where to start."""

from geographer.archives.eodag.source import EodagSource

__all__ = ["EodagSource"]
