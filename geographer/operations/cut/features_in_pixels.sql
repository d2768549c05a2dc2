-- features_in_pixels.sql: each selected feature and each raster to cut that intersects it, with the feature in the raster's pixels
-- needs: current_edge, current_feature, current_raster, feature_to_cut, raster_to_cut, macros feature_to_raster, to_pixels · makes: temp table feature_in_pixels
CREATE OR REPLACE TEMP TABLE feature_in_pixels AS
SELECT rank, feature_to_cut.feature_id, raster_id, contains,
       to_pixels(feature_to_raster(geometry, native, feature.crs, raster.crs, splits_at_antimeridian, crosses_180, raster.xmin,
                                   raster.xmax, footprint, crs_is_partial, reaches_limb), transform) AS geometry
FROM current_edge JOIN feature_to_cut USING (feature_key)
JOIN (SELECT feature_key, geometry, native, crs FROM current_feature) AS feature USING (feature_key)
JOIN (FROM current_raster SEMI JOIN raster_to_cut USING (raster_id)) AS raster USING (raster_key);
