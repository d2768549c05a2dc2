"""Download all products of an archive, for a test that kills this process: `python slow_source.py URL FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from geographer.archives.base import SearchQuery
from geographer.archives.download_pool import fetch_products
from geographer.archives.eodag import EodagSource
from tests.stac_servers import search_products

if __name__ == "__main__":
    source = EodagSource(provider="loopback", collection="scenes", url=sys.argv[1])
    products = search_products(source, SearchQuery(-180, -90, 180, 90))
    for outcome in fetch_products(source, products, Path(sys.argv[2]), workers=2):
        print(outcome.product.product_id, flush=True)
