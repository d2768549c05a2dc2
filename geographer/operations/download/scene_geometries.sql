-- scene_geometries.sql: the places where an archive has scenes, with what it takes to tell what they show: `drawn` is the outline in
-- longitude/latitude as the graph draws it; `whole` says that the stated footprint is nearly ($full) all of the outline, so
-- that its edges, which are drawn straight, are not meant; `reach` is the box in which to look for features
CREATE OR REPLACE TEMP TABLE spot AS
WITH about_crs AS (
    SELECT crs, degrees, degrees OR apart_at_antimeridian(crs) AS torn
    FROM (SELECT crs, in_degrees(crs) AS degrees
          -- An archive may name a CRS that nobody knows, or tell an outline without one: then its footprint has to do.
          FROM (SELECT DISTINCT crs FROM given_spot) WHERE TRY(into_crs(ST_Point(1, 1), crs, 'EPSG:4326')) IS NOT NULL)
), shaped AS (
    SELECT spot, ST_MakeValid(ST_GeomFromWKB(footprint)) AS footprint, if(known, given_spot.crs, NULL) AS crs, torn, degrees,
           if(known, ST_GeomFromWKB(outline), NULL) AS outline
    FROM (SELECT *, outline IS NOT NULL AND about_crs.crs IS NOT NULL AS known
          FROM given_spot LEFT JOIN about_crs USING (crs)) AS given_spot
), cornered AS MATERIALIZED (
    SELECT *, xs_of(edge) AS xs, ys_of(edge) AS ys
    FROM (SELECT *, CASE WHEN ST_GeometryType(outline) = 'POLYGON' THEN ST_ExteriorRing(outline) END AS edge FROM shaped)
), ringed AS (
    SELECT *, into_crs(line_of(densified(xs), densified(ys)), crs, 'EPSG:4326') AS ring FROM cornered
), located AS MATERIALIZED (
    SELECT *, xs_of(ring) AS lons, ys_of(ring) AS lats FROM ringed
), turned AS (
    SELECT * REPLACE (CASE WHEN largest_step(lons) > 180 THEN [CASE WHEN lon < 0 THEN lon + 360 ELSE lon END for lon in lons]
                      ELSE lons END AS lons)
    FROM located
), told AS MATERIALIZED (
    -- A ring around a pole still has a step of a turn: its outline counts, and no footprint in longitude/latitude.
    SELECT *, isfinite(list_sum(lons) + list_sum(lats)) AS finite, finite AND largest_step(lons) > 180 AS polar,
           ST_Area(into_crs(footprint, 'EPSG:4326', crs)) AS shown_area
    FROM turned
), drawn AS (
    SELECT *, CASE WHEN NOT finite THEN NULL
                   WHEN NOT polar AND list_min(lons) >= -180 AND list_max(lons) <= 180 THEN polygon_of(lons, lats)
                   WHEN NOT polar THEN cut_at_antimeridian(polygon_of(lons, lats))
                   WHEN list_min(lats) > 0 THEN ST_MakeEnvelope(-180, list_min(lats), 180, 90)
                   ELSE ST_MakeEnvelope(-180, -90, 180, list_max(lats)) END AS drawn
    FROM told
)
SELECT spot, footprint, outline, crs, torn, if(polar, NULL, drawn) AS drawn,
       coalesce(degrees AND (ST_XMin(outline) < -180 OR ST_XMax(outline) > 180), false) AS wraps,
       coalesce(polar OR (isfinite(shown_area) AND shown_area >= $full * ST_Area(outline)), false) AS whole,
       ST_Expand(ST_Extent(ST_Collect(list_filter([footprint, drawn], lambda part: part IS NOT NULL))), 0.05) AS reach
FROM drawn;
