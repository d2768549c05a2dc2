-- raster_counts.sql: the rows of {source} with {columns}: how many of {rasters} contain each feature, "(containing)", and how many
-- contain or intersect it, "(meeting)"; null of features of no raster
-- needs: current_edge, the key column of {source}, what {rasters} needs · makes: one result: *, {columns}
SELECT counted.*, {columns}
FROM {source} AS counted
LEFT JOIN (
    SELECT feature_key AS "(key)", count_if(contains)::BIGINT AS "(containing)", count(*) AS "(meeting)"
    FROM current_edge {rasters} GROUP BY feature_key
) USING ("(key)")
