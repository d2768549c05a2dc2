-- class_objects.sql: the objects in labels of the samples by subset (null: all samples), label and class
-- needs: sample, current_label_object, $labels · makes: one result: part, label, class, objects
SELECT if(grouping(chosen.part) = 1, NULL, chosen.part) AS part, object.label AS label, object.class AS class, count(*) AS objects
FROM current_label_object AS object
JOIN (SELECT raster_id, part FROM sample) AS chosen USING (raster_id)
WHERE object.label IN (SELECT unnest($labels::VARCHAR[]))
GROUP BY GROUPING SETS ((chosen.part, object.label, object.class), (object.label, object.class))
HAVING grouping(chosen.part) = 1 OR chosen.part IS NOT NULL
ORDER BY ALL;
