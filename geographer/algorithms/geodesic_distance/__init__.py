"""Geodesic distance join: links between footprints within a buffer, in metres, of each other on WGS84.

- `arcs`        boundary lines as chords in geocentric coordinates, with error bounds, and distances between them
- `footprints`  footprints with boundary arcs, bounding spheres and inscribed balls; exact tests of pairs
- `neighbours`  a spanning set of links between close footprints (Borůvka) for connected components
"""
