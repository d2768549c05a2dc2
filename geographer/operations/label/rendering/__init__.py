"""Draw labels: transform objects to a raster's pixel grid, draw them, and write a GeoTIFF or JSON file.

- `pixel_geometries`  objects in pixel coordinates, and the pixels that they cover
- `rasterize`, `probabilities`, `box_files`, `custom`  the labels of each recipe
- `render`            worker processes, and the files of labels that are rasters
"""
