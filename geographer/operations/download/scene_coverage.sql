-- scene_coverage.sql: which spot contains which feature: in the CRS of the scenes, as the graph decides it, where the archive tells
-- their outline, and within the footprint that it states, unless all of the scene is meant
CREATE OR REPLACE TEMP TABLE missing AS
SELECT member, ST_GeomFromWKB(geometry) AS geometry, ST_GeomFromWKB(native) AS native, crs FROM given_member;

CREATE OR REPLACE TEMP TABLE shown AS
WITH placed AS (
    SELECT spot, member, footprint, outline, whole, geometry,
           CASE WHEN outline IS NOT NULL
                THEN in_frame(feature_in(geometry, native, missing.crs, spot.crs, torn), wraps, ST_XMin(outline), ST_XMax(outline))
           END AS placed
    FROM spot JOIN missing ON ST_Intersects_Extent(spot.reach, missing.geometry)
)
SELECT spot, member FROM placed
WHERE CASE WHEN outline IS NULL THEN ST_Contains(footprint, geometry)
           ELSE ST_Contains(outline, placed) AND (whole OR ST_Contains(footprint, geometry)) END;
