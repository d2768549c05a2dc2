"""Certificate: what the subsets of a split share at a revision, on four levels, whatever the split declared.

- `rasters`      the rasters that the split gives a part, and those that the certificate does not cover
- `levels`       the result of one level, and pairs of rasters of different subsets
- `places`       windows of chips, and boxes around footprints
- `objects`      features that rasters of several subsets show
- `pixels`       windows of a parent, or ground, that rasters of several subsets share
- `distance`     the smallest geodesic distance between each two subsets
- `duplicates`   near-duplicate pixels in different subsets
- `certificate`  the JSON document, and the same in words
- `certify`      all of it
"""
