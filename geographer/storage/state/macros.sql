-- macros.sql: the geometry that the projections share; longitude/latitude is always x, y in degrees on EPSG:4326
CREATE OR REPLACE TEMP MACRO open_end() AS 9223372036854775807;

-- A geometry in another CRS, vertex by vertex.
CREATE OR REPLACE TEMP MACRO into_crs(g, from_crs, to_crs) AS
    CASE WHEN from_crs = to_crs THEN g ELSE ST_Transform(g, from_crs, to_crs, always_xy := true) END;

-- A geometry in longitude/latitude with longitudes from 0 to 360, which is whole where it crosses the antimeridian.
CREATE OR REPLACE TEMP MACRO into_eastings(g, from_crs) AS
    ST_Transform(g, from_crs, '+proj=longlat +datum=WGS84 +lon_wrap=180 +type=crs', always_xy := true);

-- Whether a CRS is in degrees, so that longitude/latitude stays as it is; and whether the two sides of the antimeridian
-- lie apart in one.
CREATE OR REPLACE TEMP MACRO in_degrees(crs) AS
    abs(ST_X(into_crs(ST_Point(1, 1), crs, 'EPSG:4326')) - 1) < 0.01 AND abs(ST_Y(into_crs(ST_Point(1, 1), crs, 'EPSG:4326')) - 1) < 0.01;
CREATE OR REPLACE TEMP MACRO apart_at_antimeridian(crs) AS
    abs(ST_X(into_crs(ST_Point(180, 0), 'EPSG:4326', crs)) - ST_X(into_crs(ST_Point(-180, 0), 'EPSG:4326', crs))) > 1;

-- A feature in another CRS. Where that CRS tears the antimeridian apart, a feature across it is taken as it was cut.
CREATE OR REPLACE TEMP MACRO feature_in(geometry, native, crs, to_crs, torn) AS
    CASE WHEN native IS NULL OR (torn AND ST_XMax(geometry) - ST_XMin(geometry) > 180)
         THEN into_crs(geometry, 'EPSG:4326', to_crs) ELSE into_crs(native, crs, to_crs) END;

-- How far, in degrees, a straight edge of some CRS can leave the longitude/latitude box of its ends: the sagitta of a
-- geodesic or rhumb line is below length²·tan(latitude)/8; this is some ten times that.
CREATE OR REPLACE TEMP MACRO bulge(width, height, latitude) AS
    0.01 * (width * width + height * height) / greatest(cos(radians(least(abs(latitude), 89.0))), 0.02);

-- The coordinates `xs` (or `ys`) of a closed ring, with 15 more on each edge and the last, which is the first, left out.
CREATE OR REPLACE TEMP MACRO densified(xs) AS
    flatten([[xs[i] + (xs[i + 1] - xs[i]) * k / 16.0 for k in range(16)] for i in range(1, len(xs))]);

-- The coordinates of a line's vertices.
CREATE OR REPLACE TEMP MACRO xs_of(line) AS [ST_X(ST_PointN(line, i::INTEGER)) for i in range(1, ST_NPoints(line)::BIGINT + 1)];
CREATE OR REPLACE TEMP MACRO ys_of(line) AS [ST_Y(ST_PointN(line, i::INTEGER)) for i in range(1, ST_NPoints(line)::BIGINT + 1)];

-- The line with vertices at `xs`, `ys`.
CREATE OR REPLACE TEMP MACRO line_of(xs, ys) AS ST_MakeLine([ST_Point(p[1], p[2]) for p in list_zip(xs, ys)]);

-- The polygon with vertices at `lons`, `lats`.
CREATE OR REPLACE TEMP MACRO polygon_of(lons, lats) AS
    ST_MakePolygon(line_of(list_append(lons, lons[1]), list_append(lats, lats[1])));

-- The greatest difference between two neighbours in a ring of longitudes; above 180 the ring crosses the antimeridian.
CREATE OR REPLACE TEMP MACRO largest_step(lons) AS
    list_max([abs(lons[i] - lons[i + 1]) for i in range(1, len(lons))] || [abs(lons[1] - lons[-1])]);

-- `a * lon + b * lat - expected` at each point.
CREATE OR REPLACE TEMP MACRO linear(lons, lats, a, b, expected) AS
    [a * lons[i] + b * lats[i] - expected[i] for i in range(1, len(lons) + 1)];

-- The part of a geometry between longitudes `from_lon` and `from_lon` + 360, moved by whole turns to -180 to 180.
CREATE OR REPLACE TEMP MACRO turn_of(g, from_lon) AS
    ST_Translate(ST_Intersection(g, ST_MakeEnvelope(from_lon, -90, from_lon + 360, 90)), -180.0 - from_lon, 0.0);

-- A geometry with longitudes between -540 and 540, cut at the antimeridian into parts between -180 and 180.
CREATE OR REPLACE TEMP MACRO cut_at_antimeridian(g) AS ST_CollectionExtract(
    ST_Collect(list_filter([turn_of(ST_MakeValid(g), from_lon) for from_lon in [-540.0, -180.0, 180.0]], lambda part: NOT ST_IsEmpty(part))),
    ST_Dimension(g) + 1);

-- The parts of a longitude/latitude geometry, each moved by whole turns to where it is nearest to longitude `middle`.
CREATE OR REPLACE TEMP MACRO turned_to(g, middle) AS
    ST_Collect([ST_Translate(part.geom,
                             360.0 * round((middle - (ST_XMin(part.geom) + ST_XMax(part.geom)) / 2) / 360.0), 0.0)
                for part in ST_Dump(g)]);

-- A geometry in a raster's CRS, brought to the turn of the globe that the raster lies in.
CREATE OR REPLACE TEMP MACRO in_frame(g, wraps, xmin, xmax) AS
    CASE WHEN wraps THEN turned_to(g, (xmin + xmax) / 2) ELSE g END;

-- A geometry in a raster's CRS, in its pixels: columns and rows from the outer corner of the first.
CREATE OR REPLACE TEMP MACRO in_pixels(g, transform) AS ST_Affine(
    ST_Translate(g, -transform[3], -transform[6]),
    transform[5] / (transform[1] * transform[5] - transform[2] * transform[4]),
    -transform[2] / (transform[1] * transform[5] - transform[2] * transform[4]),
    -transform[4] / (transform[1] * transform[5] - transform[2] * transform[4]),
    transform[1] / (transform[1] * transform[5] - transform[2] * transform[4]), 0.0, 0.0);

-- How far two points of a CRS are apart on the ground, in metres: geodesic on WGS84. DuckDB takes latitude first there.
CREATE OR REPLACE TEMP MACRO metres_between(x1, y1, x2, y2, crs) AS ST_Distance_Spheroid(
    ST_FlipCoordinates(into_crs(ST_Point(x1, y1), crs, 'EPSG:4326'))::POINT_2D,
    ST_FlipCoordinates(into_crs(ST_Point(x2, y2), crs, 'EPSG:4326'))::POINT_2D);
