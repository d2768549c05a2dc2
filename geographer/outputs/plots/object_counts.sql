-- object_counts.sql: by how many features, rasters and chips (cut from others) each event changes their number
-- needs: state.feature, state.raster, variable position · makes: one result: objects, position, change, ordered by both
WITH version AS (
    SELECT 'features' AS objects, valid_from, valid_to FROM state.feature
    UNION ALL
    SELECT if(parent_id IS NULL, 'rasters', 'chips'), valid_from, valid_to FROM state.raster
)
SELECT objects, position, sum(change)::BIGINT AS change
FROM (SELECT objects, valid_from AS position, 1 AS change FROM version UNION ALL SELECT objects, valid_to, -1 FROM version)
WHERE position <= getvariable('position')
GROUP BY objects, position HAVING sum(change) <> 0 ORDER BY objects, position;
