-- large_objects.sql: features of many vertices in a CRS of rasters, as WKB; see objects_to_draw.sql
-- needs: macros.sql, current_feature, $feature_keys, $to_crs, $splits · makes: one result: feature_key, wkb
SELECT feature_key, ST_AsWKB(feature_to_crs(geometry, native, crs, $to_crs, $splits))::BLOB AS wkb
FROM current_feature WHERE feature_key IN (SELECT unnest($feature_keys::BIGINT[]));
