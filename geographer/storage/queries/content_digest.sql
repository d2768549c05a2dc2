-- content_digest.sql: which dataset is this, whatever the road to it? The digest of its objects' sorted row digests
SELECT coalesce(sha256(string_agg(line || chr(10), '' ORDER BY line)), sha256('')) FROM (
    SELECT 'class ' || row_digest AS line FROM state.class
    WHERE valid_from <= getvariable('position') AND valid_to > getvariable('position')
    UNION ALL SELECT 'feature ' || row_digest FROM feature_now
    UNION ALL SELECT 'label ' || row_digest FROM label_now
    UNION ALL SELECT 'label_object ' || row_digest FROM label_object_now
    UNION ALL SELECT 'raster ' || row_digest FROM raster_now
    UNION ALL SELECT 'split ' || row_digest FROM split_now
);
