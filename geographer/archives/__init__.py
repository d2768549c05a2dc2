"""Archives that rasters are downloaded from, each behind the `Source` interface.

- `base`             the `Source` interface, search queries and products
- `eodag`            every provider that eodag knows, and any STAC API
- `alos`             the ALOS World 3D elevation model
- `download_pool`    parallel downloads into a folder, verified and resumable
- `http_ftp`         streamed HTTP and FTP downloads
- `http_errors`      exceptions and HTTP statuses mapped to `SourceError`
- `stac_items`       outline, footprint and time of a STAC item
- `stac_properties`  product properties under common names
"""
