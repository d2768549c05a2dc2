-- features_in_pixels.sql: for each selected feature and each chosen raster of $collection that shows some of it, its shape in the
-- raster's pixels
SELECT raster_id, ST_AsWKB(in_pixels(in_frame(feature_in(geometry, native, feature.crs, raster.crs, torn), wraps,
                                              raster.xmin, raster.xmax), transform))::BLOB AS wkb
FROM edge_now JOIN selected_feature USING (feature_key)
JOIN (SELECT feature_key, geometry, native, crs FROM feature_now) AS feature USING (feature_key)
JOIN (FROM raster_now SEMI JOIN chosen_raster USING (raster_id)
      WHERE collection = $collection AND storage <> 'catalogue') AS raster USING (raster_key)
ORDER BY selected_feature.turn, raster_id;
