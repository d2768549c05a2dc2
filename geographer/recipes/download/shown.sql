-- shown.sql: which of the places where an archive has scenes contains which feature: in the CRS of the scenes where the archive
-- tells it, and in longitude/latitude within what it says has pixels, unless that is nearly ($full) all of the scene
CREATE OR REPLACE TEMP TABLE missing AS SELECT member, ST_GeomFromWKB(geometry) AS geometry FROM given_member;

CREATE OR REPLACE TEMP TABLE spot AS
SELECT spot, footprint, crs, outline,
       coalesce(ST_Area(footprint) >= $full * ST_Area(into_crs(outline, crs, 'EPSG:4326')), false) AS whole
FROM (SELECT spot, ST_MakeValid(ST_GeomFromWKB(footprint)) AS footprint, crs, ST_GeomFromWKB(outline) AS outline FROM given_spot);

CREATE OR REPLACE TEMP TABLE shown AS
WITH placed AS (
    SELECT spot, member, footprint, outline, whole, geometry,
           CASE WHEN outline IS NOT NULL THEN into_crs(geometry, 'EPSG:4326', crs) END AS placed
    -- A place that is wholly shown may reach a little beyond its straight-edged footprint.
    FROM spot JOIN missing ON ST_Intersects_Extent(spot.footprint, missing.geometry)
)
SELECT spot, member FROM placed
WHERE CASE WHEN outline IS NULL THEN ST_Contains(footprint, geometry)
           ELSE ST_Contains(outline, placed) AND (whole OR ST_Contains(footprint, geometry)) END;
