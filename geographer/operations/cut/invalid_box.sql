-- invalid_box.sql: the rows of `read_box` that can't be boxes, each with the first reason why
SELECT coalesce(object_id, '(without id)'), reason FROM (
    SELECT object_id, CASE
        WHEN object_id IS NULL OR object_id = '' THEN 'it has no id'
        WHEN geometry IS NULL OR ST_IsEmpty(geometry) THEN 'it has no geometry'
        WHEN ST_Dimension(geometry) <> 2 THEN 'it is no polygon'
        WHEN count(*) OVER (PARTITION BY object_id) > 1 THEN 'its id stands twice' END AS reason
    FROM read_box
)
WHERE reason IS NOT NULL ORDER BY ALL;
