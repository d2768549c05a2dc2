-- logged_files.sql: the files of the revision at $at, read from the log rather than from the state
-- needs: chain_raster_change, chain_label_change, chain_event, $at · makes: one result: path, size, md5, sha256, raster_id,
-- label, is_referenced, position, table_name, ordinal, crs, transform, width, height, nodata, pixel_digest, has_given_crs
WITH raster AS (
    SELECT *, row_number() OVER (PARTITION BY raster_id ORDER BY position DESC, ordinal DESC) AS recency
    FROM chain_raster_change WHERE position <= $at
), label AS (
    SELECT *, row_number() OVER (PARTITION BY label, raster_id ORDER BY position DESC, ordinal DESC) AS recency
    FROM chain_label_change WHERE position <= $at
), with_own_crs AS (
    -- Of rasters that another kind of event recorded, it is not known whether the user gave the CRS.
    SELECT position FROM chain_event
    WHERE kind = 'rasters_added' AND (TRY_CAST(payload AS JSON)->>'$.request.crs') IS NULL
), file AS (
    SELECT path, size, md5, sha256, raster_id, NULL AS label, coalesce(storage = 'reference', false) AS is_referenced, position,
           'raster_change' AS table_name, ordinal, crs, transform, width, height, nodata, pixel_digest,
           position NOT IN (FROM with_own_crs) AS has_given_crs
    FROM raster WHERE recency = 1 AND change <> 'removed' AND coalesce(storage, '') NOT IN ('catalogue', 'virtual', 'remote')
    UNION ALL BY NAME
    SELECT path, size, md5, sha256, raster_id, label, false AS is_referenced, position, 'label_change' AS table_name, ordinal
    FROM label WHERE recency = 1 AND change <> 'removed'
)
-- Text that is not UTF-8 cannot be fetched.
SELECT try(decode(encode(path))) AS path, size, try(decode(encode(md5))) AS md5, try(decode(encode(sha256))) AS sha256,
       decode(encode(raster_id), 'replace') AS raster_id, decode(encode(label), 'replace') AS label, is_referenced, position,
       table_name, ordinal, try(decode(encode(crs))) AS crs, try(decode(encode(transform))) AS transform, width, height,
       try(decode(encode(nodata))) AS nodata, try(decode(encode(pixel_digest))) AS pixel_digest, has_given_crs
FROM file ORDER BY path, label, raster_id;
