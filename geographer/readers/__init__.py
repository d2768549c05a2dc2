"""What arrived from an archive, read into one GeoTIFF a product.

- `reader`    what a reader is, and which one reads a product
- `options`   what a recipe gives a reader, checked
- `unpack`    archives (zip, tar) unpacked where no path leads out and no bomb goes off
- `found`     the raster files that arrived, opened as GeoTIFF or JPEG 2000 alone
- `geotiff`   a single GeoTIFF or COG, kept as it is
- `bands`     bands in files of their own, on one grid
- `safe`      Sentinel-2 products in the SAFE format, L1C and L2A; `safe_metadata` reads what they say
- `stack`     bands of different resolution written as one GeoTIFF
"""
