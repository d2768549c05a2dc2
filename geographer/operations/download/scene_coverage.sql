-- scene_coverage.sql: which scene contains which feature. With a known outline this is decided in the scene's CRS, as the state
-- decides it, and also within the stated footprint unless that means the full scene
-- needs: scene_geometry, target_input, macros.sql · makes: temp tables target, scene_target: scene_index, target_index
CREATE OR REPLACE TEMP TABLE target AS
SELECT target_index, ST_GeomFromWKB(geometry) AS geometry, ST_GeomFromWKB(native) AS native, crs FROM target_input;

CREATE OR REPLACE TEMP TABLE scene_target AS
WITH candidate_pair AS (
    SELECT scene_index, target_index, footprint, outline, is_full_scene, geometry, scene_geometry.crs,
           outline_lonlat IS NULL AND NOT is_full_scene AS is_off_globe,
           CASE WHEN outline IS NOT NULL
                THEN shift_to_raster(feature_to_crs(geometry, native, target.crs, scene_geometry.crs, splits_at_antimeridian),
                                     crosses_180, ST_XMin(outline), ST_XMax(outline))
           END AS geometry_in_scene_crs
    FROM scene_geometry JOIN target ON ST_Intersects_Extent(scene_geometry.search_box, target.geometry)
)
SELECT scene_index, target_index FROM candidate_pair
WHERE CASE WHEN outline IS NULL THEN ST_Contains(footprint, geometry)
           -- An outline without a ring in degrees is partly off the globe, and its CRS may express a far place by wrong coordinates.
           ELSE ST_Contains(outline, geometry_in_scene_crs) AND NOT is_partly_visible(geometry, crs, true, is_off_globe)
                AND (is_full_scene OR ST_Contains(footprint, geometry)) END;
