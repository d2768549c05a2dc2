"""Readers: convert the files of a downloaded product to one GeoTIFF.

- `base`           the `Reader` base class, and the choice of the reader for a product
- `options`        validation of the options that a recipe passes to a reader
- `unpack`         unpacking of archives (zip, tar), safe from path traversal and decompression bombs
- `open_rasters`   finds a product's raster files, and opens them as GeoTIFF or JPEG 2000 only
- `geotiff`        a product that is one GeoTIFF or COG; kept unchanged if possible
- `bands`          a product with bands in separate files, resampled to one grid
- `safe`           Sentinel-2 products (L1C, L2A) in the SAFE format
- `safe_metadata`  the metadata files of SAFE products
- `band_stack`     resamples bands to one grid, and writes them as one GeoTIFF
"""
