-- invalid_box.sql: invalid rows of read_box, each with the code of its first problem (see read_boxes.py)
-- needs: read_box · makes: one result: box_id, problem
SELECT coalesce(object_id, '(without id)') AS box_id, problem FROM (
    SELECT object_id, CASE
        WHEN object_id IS NULL OR object_id = '' THEN 'no_id'
        WHEN geometry IS NULL OR ST_IsEmpty(geometry) THEN 'no_geometry'
        WHEN ST_Dimension(geometry) <> 2 THEN 'not_polygon'
        WHEN count(*) OVER (PARTITION BY object_id) > 1 THEN 'repeated_id' END AS problem
    FROM read_box
)
WHERE problem IS NOT NULL ORDER BY ALL;
