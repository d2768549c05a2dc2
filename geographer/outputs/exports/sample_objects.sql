-- sample_objects.sql: which features each sample contains or intersects, and their place in the order of addition; without those
-- of the background and of context classes
-- needs: export_sample, current_edge, current_feature, classes, context_class, feature_order · makes: temp table sample_object
CREATE OR REPLACE TEMP TABLE sample_object AS
SELECT number, raster_key, feature_key, place
FROM (SELECT number, raster_key FROM export_sample)
JOIN current_edge USING (raster_key)
JOIN (SELECT feature_key, row_number() OVER (ORDER BY added, added_by, feature_id) AS place
      FROM (SELECT feature_key, feature_id, class FROM current_feature) JOIN feature_order USING (feature_id)
      WHERE class IN (SELECT class FROM classes WHERE value > 0)
        AND class NOT IN (SELECT class FROM context_class WHERE is_context)) USING (feature_key)
ORDER BY number, place;
