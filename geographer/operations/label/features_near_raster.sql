-- features_near_raster.sql: the lines and points whose drawn width may reach into the raster $key; see drawn_features.sql
-- needs: state.feature, state.raster, $key, $position, $amount and $unit of the line width · makes: one result: feature_key
WITH padded AS (
    SELECT coalesce(lon_shift, 0.0) AS lon_shift, bbox_xmin - pad_x AS west, bbox_ymin - pad_y AS south, bbox_xmax + pad_x AS east,
           bbox_ymax + pad_y AS north
    FROM (
        SELECT *, CASE WHEN $unit = 'px' THEN $amount * (bbox_xmax - bbox_xmin) / least(width, height)
                       ELSE $amount / 100000 / cos(radians(least(greatest(abs(bbox_ymin), abs(bbox_ymax)), 89))) END AS pad_x,
               CASE WHEN $unit = 'px' THEN $amount * (bbox_ymax - bbox_ymin) / least(width, height) ELSE $amount / 100000 END AS pad_y
        FROM state.raster WHERE raster_key = $key
    )
)
SELECT feature_key
FROM state.feature JOIN padded ON ymax >= south AND ymin <= north
    AND ((xmax >= west AND xmin <= east) OR (xmax >= west + lon_shift AND xmin <= east + lon_shift))
WHERE valid_from <= $position AND valid_to > $position AND ST_Dimension(geometry) < 2;
