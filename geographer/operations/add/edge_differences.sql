-- edge_differences.sql: about which pairs do the old graph and ours, among what both name, not agree, and why?
-- Of the tables old_edge (from both sides), old_footprint and old_vector; a reason is a fixed text, so it can be counted.
WITH ours AS (
    SELECT feature_id, raster_id, if(contains, 'contains', 'intersects') AS now
    FROM edge_now
    JOIN (SELECT feature_key, feature_id FROM feature_now SEMI JOIN old_vector USING (feature_id)) USING (feature_key)
    JOIN (SELECT raster_key, raster_id FROM raster_now SEMI JOIN old_footprint USING (raster_id)) USING (raster_key)
), theirs AS (
    SELECT old_edge.feature_id, coalesce(raster_id, old_edge.raster_name) AS raster_id, was, backward
    FROM old_edge LEFT JOIN old_footprint USING (raster_name)
), differing AS (
    SELECT feature_id, raster_id, was, backward, now
    FROM theirs FULL JOIN ours USING (feature_id, raster_id)
    WHERE was IS DISTINCT FROM now OR was IS DISTINCT FROM backward
), looked_up AS (
    SELECT pair.*, vector.feature_id IS NOT NULL AS known_vector, old.raster_id IS NOT NULL AS known_raster,
           feature.feature_id IS NOT NULL AS has_feature, raster.raster_id IS NOT NULL AS has_raster,
           old.footprint, old.crs AS old_crs, vector.geometry AS old_geometry, vector.crs AS vector_crs,
           raster.outline, raster.crs AS raster_crs, raster.boxed,
           least(raster.xmax - raster.xmin, raster.ymax - raster.ymin) AS side,
           CASE WHEN has_feature AND has_raster
                THEN feature_in(feature.geometry, feature.native, feature.crs, raster.crs, raster.torn) END AS g
    FROM differing AS pair
    LEFT JOIN old_vector AS vector USING (feature_id)
    LEFT JOIN old_footprint AS old USING (raster_id)
    LEFT JOIN feature_now AS feature USING (feature_id)
    LEFT JOIN raster_now AS raster USING (raster_id)
), placed AS (
    SELECT *, has_feature AND has_raster AND known_vector AND known_raster AS whole,
           CASE WHEN whole THEN into_crs(old_geometry, vector_crs, old_crs) END AS old_g,
           CASE WHEN whole THEN into_crs(ST_Centroid(footprint), old_crs, raster_crs) END AS old_middle
    FROM looked_up
), judged AS (
    SELECT *, CASE WHEN NOT whole THEN NULL
                   WHEN ST_Contains(footprint, old_g) THEN 'contains'
                   WHEN ST_Intersects(footprint, old_g) THEN 'intersects' END AS footprint_says,
           -- A millionth of the raster's side is far less than a pixel, and far more than the rounding of coordinates.
           CASE WHEN whole THEN ST_Intersects(ST_Buffer(outline, -1e-6 * side), g) END AS enters,
           CASE WHEN whole THEN ST_Intersects(ST_Buffer(outline, 1e-6 * side), g) END AS reaches,
           CASE WHEN whole THEN ST_Contains(ST_Buffer(outline, 1e-6 * side), g) END AS within,
           CASE WHEN whole AND isfinite(ST_X(old_middle) + ST_Y(old_middle))
                THEN ST_Distance(old_middle, ST_Centroid(outline)) > 0.25 * side END AS elsewhere,
           CASE WHEN whole THEN ST_Equals(footprint, ST_Envelope(footprint)) END AS old_is_box
    FROM placed
)
SELECT feature_id, raster_id, was, now, CASE
    WHEN NOT known_vector THEN 'the feature is unknown: graph.json has it, vectors.geojson has not'
    WHEN NOT known_raster THEN 'the raster is unknown: graph.json has it, rasters.geojson has not'
    WHEN was IS DISTINCT FROM backward THEN 'the old graph contradicts itself: from the raster''s side it says otherwise'
    WHEN NOT has_feature THEN 'the feature is not here: it was left out, or removed'
    WHEN NOT has_raster THEN 'the raster is not here: it was left out, or removed'
    WHEN was IS DISTINCT FROM footprint_says THEN 'the old graph was out of date: its own footprint says otherwise'
    WHEN old_crs = 'EPSG:4326' AND ST_XMax(footprint) - ST_XMin(footprint) > 180
        THEN 'the old footprint reaches around the globe: the raster crosses the antimeridian'
    WHEN reaches AND NOT enters THEN 'the feature only touches the border of the raster'
    WHEN enters AND within AND was IS NOT NULL AND now IS NOT NULL
        THEN 'the feature reaches the border of the raster, and does not cross it'
    WHEN elsewhere THEN 'rasters.geojson has the raster in another place than its file'
    WHEN old_is_box AND raster_crs <> old_crs
        THEN 'the old footprint was the box around the raster in the connector''s CRS: the raster''s own CRS says otherwise'
    WHEN raster_crs <> old_crs
        THEN 'the old footprint had straight edges in the connector''s CRS: the raster''s are straight in its own'
    WHEN old_is_box AND NOT boxed THEN 'the old footprint was the box around a turned raster'
    ELSE 'the footprints differ' END AS why
FROM judged
ORDER BY why, feature_id, raster_id;
