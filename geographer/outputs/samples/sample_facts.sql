-- sample_facts.sql: what a sample needs that the exported tables do not have: the feature that a chip was cut for, and the component
-- of the raster in each split that assigns it
-- needs: current_raster, current_split, split_component · makes: (rows)
SELECT raster_id, feature_id, split, component
FROM (SELECT raster_id, feature_id FROM current_raster WHERE storage <> 'catalogue')
LEFT JOIN (SELECT split, raster_id FROM current_split WHERE part IS NOT NULL) USING (raster_id)
LEFT JOIN split_component USING (split, raster_id)
ORDER BY raster_id, split
