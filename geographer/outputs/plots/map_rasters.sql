-- map_rasters.sql: the rasters of $collection (null: all) by group: those of $split by subset, other chips and rasters by collection
-- needs: current_raster, current_split, $split, $collection · makes: temp table map_raster
CREATE OR REPLACE TEMP TABLE map_raster AS
SELECT raster_key, CASE WHEN is_member THEN 'subset' WHEN parent_id IS NOT NULL THEN 'chips' ELSE 'rasters' END AS kind,
       if(is_member, coalesce(part, 'no subset'), collection) AS name,
       bbox_xmin AS xmin, bbox_ymin AS ymin, bbox_xmax AS xmax, bbox_ymax AS ymax
FROM (SELECT raster_key, raster_id, parent_id, collection, bbox_xmin, bbox_ymin, bbox_xmax, bbox_ymax
      FROM current_raster WHERE $collection IS NULL OR collection = $collection)
LEFT JOIN (SELECT raster_id, part, true AS is_member FROM current_split WHERE split = $split) USING (raster_id);
