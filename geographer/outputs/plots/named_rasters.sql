-- named_rasters.sql: rasters by id, with the part that the split $split gives them (null: the only split), and the class they were cut for
-- needs: current_raster, current_split, current_feature, $ids, $split · makes: one result: raster_id, part, class
SELECT raster_id, part, class
FROM (SELECT raster_id, feature_id FROM current_raster WHERE raster_id IN (SELECT unnest($ids::VARCHAR[])))
LEFT JOIN (SELECT raster_id, min(part) AS part FROM current_split WHERE $split IS NULL OR split = $split GROUP BY raster_id
           HAVING count(*) = 1) USING (raster_id)
LEFT JOIN (SELECT feature_id, class FROM current_feature) USING (feature_id);
