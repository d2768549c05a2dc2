-- feature_pixels.sql: the pixel size, in metres, of the finest raster that shows each changed feature, on either side
-- needs: changed_feature, state.edge, state.raster, $has_new_side (whether the new side is in this state) · makes: one result: feature_id, pixel
WITH version AS (
    SELECT feature_id, old.feature_key AS feature_key FROM changed_feature WHERE old IS NOT NULL
    UNION ALL SELECT feature_id, new.feature_key FROM changed_feature WHERE new IS NOT NULL AND $has_new_side
), raster AS (
    -- The frame's coordinates run from -1 to 1 in both directions: the inverse of its determinant is an area in degrees².
    SELECT raster_key, sqrt(4 / abs(frame_u_lon * frame_v_lat - frame_u_lat * frame_v_lon) / (width * height)
                            * 111132 * 111320 * cos(radians((bbox_ymin + bbox_ymax) / 2))) AS pixel
    FROM state.raster WHERE storage <> 'catalogue'
)
SELECT feature_id, min(pixel) AS pixel
FROM version JOIN (SELECT feature_key, raster_key FROM state.edge) USING (feature_key) JOIN raster USING (raster_key)
WHERE isfinite(pixel) GROUP BY feature_id;
