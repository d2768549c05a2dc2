-- edge_differences.sql: edges about which a GeoGrapher 1.0 graph and this dataset differ, and the reason
-- needs: macros.sql, old_edge, old_footprint, old_vector, current_edge, current_feature, current_raster ·
-- makes: one result: feature_id, raster_id, was, now, why (fixed texts, counted in payloads)
WITH dataset_edge AS (
    SELECT feature_id, raster_id, if(contains, 'contains', 'intersects') AS now
    FROM current_edge
    JOIN (SELECT feature_key, feature_id FROM current_feature SEMI JOIN old_vector USING (feature_id)) USING (feature_key)
    JOIN (SELECT raster_key, raster_id FROM current_raster SEMI JOIN old_footprint USING (raster_id)) USING (raster_key)
), old_edge_by_id AS (
    SELECT old_edge.feature_id, coalesce(raster_id, old_edge.raster_name) AS raster_id, was, was_for_raster
    FROM old_edge LEFT JOIN old_footprint USING (raster_name)
), differing_edge AS (
    SELECT feature_id, raster_id, was, was_for_raster, now
    FROM old_edge_by_id FULL JOIN dataset_edge USING (feature_id, raster_id)
    WHERE was IS DISTINCT FROM now OR was IS DISTINCT FROM was_for_raster
), edge_with_geometries AS (
    SELECT edge.*, vector.feature_id IS NOT NULL AS has_old_feature, old.raster_id IS NOT NULL AS has_old_raster,
           feature.feature_id IS NOT NULL AS has_feature, raster.raster_id IS NOT NULL AS has_raster,
           old.geometry AS footprint, old.crs AS old_crs, vector.geometry AS old_geometry, vector.crs AS vector_crs,
           raster.outline, raster.crs AS raster_crs, raster.axis_aligned,
           least(raster.xmax - raster.xmin, raster.ymax - raster.ymin) AS side,
           CASE WHEN NOT has_feature OR NOT has_raster THEN NULL
                WHEN is_partly_visible(feature.geometry, raster.crs, raster.crs_is_partial, raster.reaches_limb)
                THEN visible_part(feature.geometry, raster.footprint, raster.crs)
                ELSE feature_to_crs(feature.geometry, feature.native, feature.crs, raster.crs, raster.splits_at_antimeridian) END AS g
    FROM differing_edge AS edge
    LEFT JOIN old_vector AS vector USING (feature_id)
    LEFT JOIN old_footprint AS old USING (raster_id)
    LEFT JOIN current_feature AS feature USING (feature_id)
    LEFT JOIN current_raster AS raster USING (raster_id)
), edge_in_both_crs AS (
    SELECT *, has_feature AND has_raster AND has_old_feature AND has_old_raster AS is_complete,
           CASE WHEN is_complete THEN reproject(old_geometry, vector_crs, old_crs) END AS old_g,
           CASE WHEN is_complete THEN reproject(ST_Centroid(footprint), old_crs, raster_crs) END AS old_centre
    FROM edge_with_geometries
), edge_with_tests AS (
    SELECT *, CASE WHEN NOT is_complete THEN NULL
                   WHEN ST_Contains(footprint, old_g) THEN 'contains'
                   WHEN ST_Intersects(footprint, old_g) THEN 'intersects' END AS footprint_relation,
           -- A millionth of the raster's side is far less than a pixel and far more than rounding errors of coordinates.
           CASE WHEN is_complete THEN ST_Intersects(ST_Buffer(outline, -1e-6 * side), g) END AS intersects_shrunk,
           CASE WHEN is_complete THEN ST_Intersects(ST_Buffer(outline, 1e-6 * side), g) END AS intersects_grown,
           CASE WHEN is_complete THEN ST_Contains(ST_Buffer(outline, 1e-6 * side), g) END AS grown_contains,
           CASE WHEN is_complete AND isfinite(ST_X(old_centre) + ST_Y(old_centre))
                THEN ST_Distance(old_centre, ST_Centroid(outline)) > 0.25 * side END AS is_elsewhere,
           CASE WHEN is_complete THEN ST_Equals(footprint, ST_Envelope(footprint)) END AS old_is_box
    FROM edge_in_both_crs
)
SELECT feature_id, raster_id, was, now, CASE
    WHEN NOT has_old_feature THEN 'the feature is unknown: graph.json has it, vectors.geojson has not'
    WHEN NOT has_old_raster THEN 'the raster is unknown: graph.json has it, rasters.geojson has not'
    WHEN was IS DISTINCT FROM was_for_raster THEN 'the old graph contradicts itself: from the raster''s side it says otherwise'
    WHEN NOT has_feature THEN 'the feature is not here: it was left out, or removed'
    WHEN NOT has_raster THEN 'the raster is not here: it was left out, or removed'
    WHEN was IS DISTINCT FROM footprint_relation THEN 'the old graph was out of date: its own footprint says otherwise'
    WHEN old_crs = 'EPSG:4326' AND ST_XMax(footprint) - ST_XMin(footprint) > 180
        THEN 'the old footprint reaches around the globe: the raster crosses the antimeridian'
    WHEN intersects_grown AND NOT intersects_shrunk THEN 'the feature only touches the border of the raster'
    WHEN intersects_shrunk AND grown_contains AND was IS NOT NULL AND now IS NOT NULL
        THEN 'the feature reaches the border of the raster, and does not cross it'
    WHEN is_elsewhere THEN 'rasters.geojson has the raster in another place than its file'
    WHEN old_is_box AND raster_crs <> old_crs
        THEN 'the old footprint was the box around the raster in the connector''s CRS: the raster''s own CRS says otherwise'
    WHEN raster_crs <> old_crs
        THEN 'the old footprint had straight edges in the connector''s CRS: the raster''s are straight in its own'
    WHEN old_is_box AND NOT axis_aligned THEN 'the old footprint was the box around a turned raster'
    ELSE 'the footprints differ' END AS why
FROM edge_with_tests
ORDER BY why, feature_id, raster_id;
