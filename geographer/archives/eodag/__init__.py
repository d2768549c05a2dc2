"""Any provider that eodag knows, and any STAC API, through the real eodag client.

- `source`    the source: its options, `search` and `fetch`
- `client`    eodag made ready: silent, confined, with the person's own credentials
- `pages`     one search page by page, complete or an error
- `products`  what was found, as products
- `download`  one product fetched
- `secrets`   what must not get into a text
"""

from geographer.archives.eodag.source import EodagSource

__all__ = ["EodagSource"]
