"""Pure algorithms on arrays and shapely geometries: no files, no database, no randomness but a seeded generator.

- `bounding_boxes`        the part of an object that lies on a raster, its axis-aligned and its rotated bounding box
- `connected_components`  connected components of an undirected graph, with a stable numbering
- `set_cover`             set multicover: the fewest sets that cover all demands, exact or greedy with a lower bound
- `geodesic_distance`     distance join: which footprints lie within a buffer of each other on the WGS84 ellipsoid
- `run_lengths`           the run lengths of a mask, as COCO has them
- `joined_rings`          several polygons with holes as one ring
- `rng`                   random generators seeded from a recipe's seed and an object's id
"""
