-- invalid_box.sql: the rows of read_box that are not valid boxes, each with its first problem
-- needs: read_box · makes: one result: box_id, problem
SELECT coalesce(object_id, '(without id)') AS box_id, problem FROM (
    SELECT object_id, CASE
        WHEN object_id IS NULL OR object_id = '' THEN 'missing id'
        WHEN geometry IS NULL OR ST_IsEmpty(geometry) THEN 'missing geometry'
        WHEN ST_Dimension(geometry) <> 2 THEN 'not a polygon'
        WHEN count(*) OVER (PARTITION BY object_id) > 1 THEN 'duplicate id' END AS problem
    FROM read_box
)
WHERE problem IS NOT NULL ORDER BY ALL;
