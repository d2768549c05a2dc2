-- macros.sql: geometry functions of the state, in longitude/latitude (x, y in degrees, EPSG:4326) unless a CRS is passed
-- needs: DuckDB's spatial functions · makes: macros open_end, is_json_object, is_transform, is_finite_geometry, nullif_not_finite,
-- is_polygon, has_checksums, has_grid, can_reach_lonlat, reproject, to_lon_0_360, is_lonlat_crs, crs_splits_at_antimeridian,
-- feature_to_crs, is_same_place, are_same_places, is_expressible, is_partly_visible, visible_part, max_edge_sagitta, densify_coords, vertex_xs, vertex_ys, make_line,
-- make_polygon, max_lon_step, make_lons_continuous, lon_turns, linear_residuals, clip_to_lon_range, split_at_antimeridian,
-- shift_to_lon, shift_to_raster, feature_to_raster, to_pixels, ground_distance_metres

-- The `valid_to` of a version that is still valid.
CREATE OR REPLACE TEMP MACRO open_end() AS 9223372036854775807;

-- Whether a text is a JSON object, six finite numbers; null is the former.
CREATE OR REPLACE TEMP MACRO is_json_object(text) AS text IS NULL OR (json_valid(text) AND TRY(json_type(text)) = 'OBJECT');
CREATE OR REPLACE TEMP MACRO is_transform(text) AS
    len(TRY_CAST(text AS DOUBLE[])) = 6 AND isfinite(list_sum(TRY_CAST(text AS DOUBLE[])));

-- Whether a geometry has finite coordinates, and whether it is a polygon or several.
CREATE OR REPLACE TEMP MACRO is_finite_geometry(g) AS
    coalesce(isfinite(ST_XMin(g) + ST_YMin(g) + ST_XMax(g) + ST_YMax(g)), false);
CREATE OR REPLACE TEMP MACRO nullif_not_finite(g) AS CASE WHEN is_finite_geometry(g) THEN g END;
CREATE OR REPLACE TEMP MACRO is_polygon(g) AS
    coalesce(ST_GeometryType(g) IN ('POLYGON', 'MULTIPOLYGON'), false) AND is_finite_geometry(g);

-- Whether a file has a size, an MD5 and a SHA-256.
CREATE OR REPLACE TEMP MACRO has_checksums(size, md5, sha256) AS coalesce(
    size >= 0 AND regexp_full_match(md5, '[0-9a-f]{32}') AND regexp_full_match(sha256, '[0-9a-f]{64}'), false);

-- Whether a raster file has a grid with pixels: GDAL counts columns, rows and bands in 31 bits.
CREATE OR REPLACE TEMP MACRO has_grid(transform, width, height, bands, dtype) AS coalesce(
    is_transform(transform) AND width > 0 AND height > 0 AND bands > 0 AND greatest(width, height, bands) < 2147483648
    AND dtype <> '', false);

-- Whether PROJ knows a way from a CRS to longitude/latitude, and back.
CREATE OR REPLACE TEMP MACRO can_reach_lonlat(crs) AS
    TRY(ST_Transform(ST_Point(1, 1), crs, 'EPSG:4326', always_xy := true)) IS NOT NULL
    AND TRY(ST_Transform(ST_Point(1, 1), 'EPSG:4326', crs, always_xy := true)) IS NOT NULL;

-- Transform a geometry to another CRS, vertex by vertex.
CREATE OR REPLACE TEMP MACRO reproject(g, from_crs, to_crs) AS
    CASE WHEN from_crs = to_crs THEN g ELSE ST_Transform(g, from_crs, to_crs, always_xy := true) END;

-- Transform a geometry to longitude/latitude with longitudes from 0 to 360: one that crosses the antimeridian stays whole.
CREATE OR REPLACE TEMP MACRO to_lon_0_360(g, from_crs) AS
    ST_Transform(g, from_crs, '+proj=longlat +datum=WGS84 +lon_wrap=180 +type=crs', always_xy := true);

-- Whether a CRS is in degrees, so that coordinates in longitude/latitude are coordinates in it.
CREATE OR REPLACE TEMP MACRO is_lonlat_crs(crs) AS
    abs(ST_X(reproject(ST_Point(1, 1), crs, 'EPSG:4326')) - 1) < 0.01 AND abs(ST_Y(reproject(ST_Point(1, 1), crs, 'EPSG:4326')) - 1) < 0.01;

-- Whether longitudes -180 and 180 have different coordinates in a CRS.
CREATE OR REPLACE TEMP MACRO crs_splits_at_antimeridian(crs) AS
    abs(ST_X(reproject(ST_Point(180, 0), 'EPSG:4326', crs)) - ST_X(reproject(ST_Point(-180, 0), 'EPSG:4326', crs))) > 1;

-- Transform a feature to another CRS. `native` is its geometry in its own CRS; null where that is longitude/latitude.
-- A feature across the antimeridian is transformed from its split geometry if the target CRS splits there.
CREATE OR REPLACE TEMP MACRO feature_to_crs(geometry, native, crs, to_crs, splits_at_antimeridian) AS
    CASE WHEN native IS NULL OR (splits_at_antimeridian AND ST_XMax(geometry) - ST_XMin(geometry) > 180)
         THEN reproject(geometry, 'EPSG:4326', to_crs) ELSE reproject(native, crs, to_crs) END;

-- Whether two points in degrees are less than 300 m apart; false if `b` is not finite.
CREATE OR REPLACE TEMP MACRO is_same_place(a, b) AS CASE WHEN isfinite(ST_X(b) + ST_Y(b)) THEN
    sin(radians(ST_Y(a))) * sin(radians(ST_Y(b))) + cos(radians(ST_Y(a))) * cos(radians(ST_Y(b))) * cos(radians(ST_X(a) - ST_X(b))) > 1 - 1e-9
    ELSE false END;

-- Whether the parts of two lists, as ST_Dump gives them, are points less than 300 m apart.
CREATE OR REPLACE TEMP MACRO are_same_places(parts, others) AS
    list_min([is_same_place(parts[i].geom, others[i].geom) for i in range(1, len(parts) + 1)]);

-- Whether a CRS expresses every vertex of a geometry in degrees: it has finite coordinates there, which lead back to it. A satellite
-- does not see the far side of the globe, and PROJ gives infinite or wrong coordinates for it.
CREATE OR REPLACE TEMP MACRO is_expressible(g, crs) AS
    CASE WHEN is_finite_geometry(ST_Transform(g, 'EPSG:4326', crs, always_xy := true))
         THEN are_same_places(ST_Dump(ST_Points(g)), ST_Dump(ST_Points(ST_Transform(
             ST_Transform(g, 'EPSG:4326', crs, always_xy := true), crs, 'EPSG:4326', always_xy := true)))) ELSE false END;

-- Whether a raster's CRS has to be asked for each vertex of a feature in degrees, and does not express one of them. A small
-- feature near a raster inside the part of the globe that the CRS expresses is not asked for.
CREATE OR REPLACE TEMP MACRO is_partly_visible(g, crs, crs_is_partial, reaches_limb) AS
    CASE WHEN crs_is_partial AND (reaches_limb OR ST_XMax(g) - ST_XMin(g) > 20 OR ST_YMax(g) - ST_YMin(g) > 20)
         THEN NOT is_expressible(g, crs) ELSE false END;

-- The part of a feature within a raster's footprint, both in degrees, in the raster's CRS; null if there is none.
CREATE OR REPLACE TEMP MACRO visible_part(g, footprint, crs) AS
    CASE WHEN ST_Intersects(footprint, ST_MakeValid(g))
         THEN nullif_not_finite(reproject(ST_Intersection(footprint, ST_MakeValid(g)), 'EPSG:4326', crs)) END;

-- Upper bound, in degrees, of the distance between a straight edge of any CRS and the longitude/latitude box of its ends.
-- The sagitta of a geodesic or rhumb line is below length² * tan(latitude) / 8; the bound is about ten times that.
CREATE OR REPLACE TEMP MACRO max_edge_sagitta(width, height, latitude) AS
    0.01 * (width * width + height * height) / greatest(cos(radians(least(abs(latitude), 89.0))), 0.02);

-- Add 15 coordinates to each edge of a closed ring, and drop the last, which repeats the first.
CREATE OR REPLACE TEMP MACRO densify_coords(coords) AS
    flatten([[coords[i] + (coords[i + 1] - coords[i]) * k / 16.0 for k in range(16)] for i in range(1, len(coords))]);

-- The coordinates of a line's vertices.
CREATE OR REPLACE TEMP MACRO vertex_xs(line) AS [ST_X(ST_PointN(line, i::INTEGER)) for i in range(1, ST_NPoints(line)::BIGINT + 1)];
CREATE OR REPLACE TEMP MACRO vertex_ys(line) AS [ST_Y(ST_PointN(line, i::INTEGER)) for i in range(1, ST_NPoints(line)::BIGINT + 1)];

-- The line, and the polygon, with these vertices. The polygon's ring is closed here.
CREATE OR REPLACE TEMP MACRO make_line(xs, ys) AS ST_MakeLine([ST_Point(p[1], p[2]) for p in list_zip(xs, ys)]);
CREATE OR REPLACE TEMP MACRO make_polygon(xs, ys) AS
    ST_MakePolygon(make_line(list_append(xs, xs[1]), list_append(ys, ys[1])));

-- The largest difference between neighbouring longitudes of a ring; above 180 the ring crosses the antimeridian.
CREATE OR REPLACE TEMP MACRO max_lon_step(lons) AS
    list_max([abs(lons[i] - lons[i + 1]) for i in range(1, len(lons))] || [abs(lons[1] - lons[-1])]);

-- The longitudes of a ring without steps above 180 degrees: those of one across the antimeridian are from 0 to 360.
CREATE OR REPLACE TEMP MACRO make_lons_continuous(lons, crosses) AS
    CASE WHEN crosses THEN [CASE WHEN lon < 0 THEN lon + 360 ELSE lon END for lon in lons] ELSE lons END;

-- What each step along a closed ring, the last one to its first point, adds to the longitudes after it: a multiple of 360 degrees.
CREATE OR REPLACE TEMP MACRO lon_turns(lons) AS
    [-360.0 * round((lon_pair[2] - lon_pair[1]) / 360.0) for lon_pair in list_zip(lons, list_append(lons[2:], lons[1]))];

-- The residual `a * lon + b * lat - expected` of a linear function at each point.
CREATE OR REPLACE TEMP MACRO linear_residuals(lons, lats, a, b, expected) AS
    [a * lons[i] + b * lats[i] - expected[i] for i in range(1, len(lons) + 1)];

-- Clip a geometry to longitudes from `from_lon` to `from_lon` + 360, and shift the result to -180 to 180.
CREATE OR REPLACE TEMP MACRO clip_to_lon_range(g, from_lon) AS
    ST_Translate(ST_Intersection(g, ST_MakeEnvelope(from_lon, -90, from_lon + 360, 90)), -180.0 - from_lon, 0.0);

-- Split a geometry with longitudes from -540 to 540 at the antimeridian into parts with longitudes from -180 to 180.
CREATE OR REPLACE TEMP MACRO split_at_antimeridian(g) AS ST_CollectionExtract(
    ST_Collect(list_filter([clip_to_lon_range(ST_MakeValid(g), from_lon) for from_lon in [-540.0, -180.0, 180.0]], lambda part: NOT ST_IsEmpty(part))),
    ST_Dimension(g) + 1);

-- Shift each part of a geometry by a multiple of 360 degrees so that its middle is nearest to longitude `target_lon`.
CREATE OR REPLACE TEMP MACRO shift_to_lon(g, target_lon) AS
    ST_Collect([ST_Translate(part.geom,
                             360.0 * round((target_lon - (ST_XMin(part.geom) + ST_XMax(part.geom)) / 2) / 360.0), 0.0)
                for part in ST_Dump(g)]);

-- Shift a geometry in a raster's CRS by multiples of 360 degrees towards a raster that extends past 180 degrees.
CREATE OR REPLACE TEMP MACRO shift_to_raster(g, crosses_180, xmin, xmax) AS
    CASE WHEN crosses_180 THEN shift_to_lon(g, (xmin + xmax) / 2) ELSE g END;

-- Transform a feature to a raster's CRS, where it is near the raster: see `feature_to_crs`, `shift_to_raster`; one that the CRS
-- does not express wholly is reduced to its part within the footprint, or null.
CREATE OR REPLACE TEMP MACRO feature_to_raster(geometry, native, crs, to_crs, splits_at_antimeridian, crosses_180, xmin, xmax,
                                               footprint, crs_is_partial, reaches_limb) AS
    CASE WHEN is_partly_visible(geometry, to_crs, crs_is_partial, reaches_limb) THEN visible_part(geometry, footprint, to_crs)
         ELSE shift_to_raster(feature_to_crs(geometry, native, crs, to_crs, splits_at_antimeridian), crosses_180, xmin, xmax) END;

-- Transform a geometry in a raster's CRS to pixel coordinates: columns and rows from the outer corner of the first pixel.
CREATE OR REPLACE TEMP MACRO to_pixels(g, transform) AS ST_Affine(
    ST_Translate(g, -transform[3], -transform[6]),
    transform[5] / (transform[1] * transform[5] - transform[2] * transform[4]),
    -transform[2] / (transform[1] * transform[5] - transform[2] * transform[4]),
    -transform[4] / (transform[1] * transform[5] - transform[2] * transform[4]),
    transform[1] / (transform[1] * transform[5] - transform[2] * transform[4]), 0.0, 0.0);

-- The geodesic distance between two points of a CRS on WGS84, in metres. ST_Distance_Spheroid takes latitude first.
CREATE OR REPLACE TEMP MACRO ground_distance_metres(x1, y1, x2, y2, crs) AS ST_Distance_Spheroid(
    ST_FlipCoordinates(reproject(ST_Point(x1, y1), crs, 'EPSG:4326'))::POINT_2D,
    ST_FlipCoordinates(reproject(ST_Point(x2, y2), crs, 'EPSG:4326'))::POINT_2D);
