"""Fetches all that an archive has into a folder; run by a test that kills it: `python slowly.py URL FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from geographer.archives.base import SearchQuery
from geographer.archives.download_pool import fetch_all
from geographer.archives.eodag import EodagSource
from tests.stac_servers import search_all

if __name__ == "__main__":
    source = EodagSource(provider="loopback", collection="scenes", url=sys.argv[1])
    products = search_all(source, SearchQuery(-180, -90, 180, 90))
    for outcome in fetch_all(source, products, Path(sys.argv[2]), workers=2):
        print(outcome.product.product_id, flush=True)
