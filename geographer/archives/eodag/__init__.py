"""Every provider that eodag supports, and any STAC API, through the eodag client.

- `source`      the `Source` subclass: options, search, fetch
- `client`      an eodag gateway with the user's configuration, and provider and collection names resolved
- `pagination`  complete search results, page by page
- `products`    search results converted to `Product`
- `download`    download of one product
- `redaction`   removal of the user's credentials from messages
"""

from geographer.archives.eodag.source import EodagSource

__all__ = ["EodagSource"]
