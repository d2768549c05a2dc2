-- subset_chips.sql: the rasters in part $part of split $split at one or both of two positions, and what differs between them
-- needs: state.split, state.raster, chain_event, $split, $part, $from_position, $to_position · makes: temp table subset_chip
CREATE OR REPLACE TEMP TABLE subset_chip AS
WITH assignment AS (
    SELECT raster_id, part, valid_from <= $from_position AND valid_to > $from_position AS is_old,
           valid_from <= $to_position AND valid_to > $to_position AS is_new
    FROM state.split WHERE split = $split AND (is_old OR is_new)
), member AS (
    SELECT raster_id, old.part AS from_part, new.part AS to_part,
           old.is_old IS NOT NULL AS from_assigned, new.is_new IS NOT NULL AS to_assigned,
           coalesce(old.part = $part, false) AS in_from, coalesce(new.part = $part, false) AS in_to
    FROM (FROM assignment WHERE is_old) AS old FULL JOIN (FROM assignment WHERE is_new) AS new USING (raster_id)
    WHERE in_from OR in_to
), version AS (
    SELECT raster_id, coalesce(pixel_digest, sha256) AS pixels, sha256, nodata, storage, valid_from, valid_to,
           valid_from <= $from_position AND valid_to > $from_position AS is_old,
           valid_from <= $to_position AND valid_to > $to_position AS is_new
    FROM state.raster SEMI JOIN member USING (raster_id) WHERE is_old OR is_new
), materialisation AS (
    SELECT position FROM chain_event WHERE kind = 'chips_materialised'
), pair AS (
    -- A virtual chip has no digest of pixels; the file that was made of it shows the same ones.
    SELECT member.*, old.raster_id IS NOT NULL AS from_exists, new.raster_id IS NOT NULL AS to_exists,
           coalesce(old.storage = 'virtual' AND old.valid_to = new.valid_from AND materialisation.position IS NOT NULL, false)
               AS is_materialised,
           old.pixels IS DISTINCT FROM new.pixels AND NOT is_materialised AS other_pixels,
           (old.sha256, old.nodata) IS DISTINCT FROM (new.sha256, new.nodata) AND NOT is_materialised AS other_bytes
    FROM member
    LEFT JOIN (FROM version WHERE is_old) AS old USING (raster_id)
    LEFT JOIN (FROM version WHERE is_new) AS new USING (raster_id)
    LEFT JOIN materialisation ON materialisation.position = new.valid_from
)
SELECT * EXCLUDE (is_materialised, other_pixels, other_bytes), in_from AND in_to AND other_pixels AS has_other_pixels,
       in_from <> in_to OR other_pixels OR other_bytes AS differs
FROM pair;
