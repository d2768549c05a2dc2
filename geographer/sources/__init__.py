"""Archives that rasters come from: how they are searched, and how what they have is fetched, whole or not at all.

- `source`    what a source is: `search` and `fetch`; products, and the trouble that an archive can give
- `eodag`     any provider that eodag knows, and any STAC API
- `alos`      the 1° tiles of the ALOS World 3D elevation model, over HTTP or FTP
- `searching` one search to its end
- `patience`  which trouble passes, and how long to wait for it
- `fetching`  many products at once, verified, each kept until the dataset has it
- `transfer`  files over HTTP and FTP
- `trouble`   what went wrong with an archive, in words of our own
- `stac`, `facts`  what STAC items tell: place, time, and what is worth keeping
"""
