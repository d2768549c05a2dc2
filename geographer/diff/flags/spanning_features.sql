-- spanning_features.sql: features on rasters of several subsets of a split at $new, and not at $old
-- needs: changed_feature, changed_raster, changed_edge, changed_split, state.edge, state.feature, state.raster, state.split, $old, $new ·
-- makes: one result: split, feature_id, parts, raster_ids (of each part one), position
WITH touched AS (
    -- Only these can have come to span two subsets.
    SELECT feature_id FROM changed_feature UNION SELECT feature_id FROM changed_edge
    UNION SELECT feature_id FROM changed_split JOIN (SELECT raster_id, raster_key FROM state.raster) USING (raster_id)
          JOIN (SELECT raster_key, feature_key FROM state.edge) USING (raster_key)
          JOIN (SELECT feature_key, feature_id FROM state.feature) USING (feature_key)
), shown AS (
    SELECT moment, split, part, feature_id, raster_id, greatest(split.valid_from, edge.valid_from) AS since
    FROM (SELECT unnest([$old, $new]) AS moment) AS side
    JOIN state.split AS split ON split.valid_from <= moment AND split.valid_to > moment AND part IS NOT NULL
    JOIN (SELECT raster_id, raster_key, valid_from, valid_to FROM state.raster) AS raster USING (raster_id)
    JOIN state.edge AS edge USING (raster_key)
    JOIN (SELECT feature_key, feature_id FROM state.feature SEMI JOIN touched USING (feature_id)) USING (feature_key)
    WHERE raster.valid_from <= moment AND raster.valid_to > moment AND edge.valid_from <= moment AND edge.valid_to > moment
), one_of_part AS (
    SELECT moment, split, feature_id, part, min(raster_id) AS raster_id, max(since) AS since FROM shown GROUP BY ALL
), spanning AS (
    SELECT moment, split, feature_id, list(part ORDER BY part) AS parts, list(raster_id ORDER BY part) AS raster_ids, max(since) AS position
    FROM one_of_part GROUP BY ALL HAVING count(*) > 1
)
SELECT split, feature_id, parts, raster_ids, position FROM spanning
WHERE moment = $new AND (split, feature_id) NOT IN (SELECT (split, feature_id) FROM spanning WHERE moment = $old)
ORDER BY split, feature_id;
