-- label_facts.sql: the label $label of the raster $id: its file, when it was made, and the classes of the features on the raster
-- needs: current_label, current_raster, current_edge, current_feature, current_class, $label, $id
-- · makes: one result: path, md5, sha256, made_at, classes (at most one row)
WITH shown_class AS (
    SELECT class, value, count(*) AS features
    FROM current_edge SEMI JOIN (FROM current_raster WHERE raster_id = $id) USING (raster_key)
    JOIN (SELECT feature_key, class FROM current_feature) USING (feature_key) JOIN (SELECT class, value FROM current_class) USING (class)
    GROUP BY class, value
)
SELECT path, md5, sha256, valid_from AS made_at,
       (SELECT coalesce(list({'class': class, 'value': value, 'features': features} ORDER BY value), []) FROM shown_class) AS classes
FROM current_label WHERE label = $label AND raster_id = $id;
