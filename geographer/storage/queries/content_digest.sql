-- content_digest.sql: the digest of a revision's content, whatever its history: of its objects' sorted row digests
-- needs: current_{class, feature, label, label_object, raster, split} · makes: one result: digest
SELECT coalesce(sha256(string_agg(line || chr(10), '' ORDER BY line)), sha256('')) AS digest FROM (
    SELECT 'class ' || row_digest AS line FROM current_class
    UNION ALL SELECT 'feature ' || row_digest FROM current_feature
    UNION ALL SELECT 'label ' || row_digest FROM current_label
    UNION ALL SELECT 'label_object ' || row_digest FROM current_label_object
    UNION ALL SELECT 'raster ' || row_digest FROM current_raster
    UNION ALL SELECT 'split ' || row_digest FROM current_split
);
