-- 000_schema.sql: tables of the state; a version of an object is valid at positions from `valid_from` to just before `valid_to`
-- needs: nothing · makes: state.meta, state.class, state.feature, state.raster, state.edge, state.label,
-- state.label_object, state.split, state.event, state.user_column, state.recipe, state.recipe_record, state.renaming, state.tag,
-- state.unreadable_row, state.object_change
-- The position that the state is at, the digest of the event there, and the digests of the SQL and of all rows below.
CREATE TABLE IF NOT EXISTS state.meta (position BIGINT, head_digest VARCHAR, sql_digest VARCHAR, state_digest HUGEINT);
CREATE TABLE IF NOT EXISTS state.class (class VARCHAR, value INTEGER, row_digest VARCHAR, valid_from BIGINT, valid_to BIGINT);
-- A key is the position of the event that recorded the version, times 2^32, plus the row's ordinal in that event.
CREATE TABLE IF NOT EXISTS state.feature (
    feature_key BIGINT, feature_id VARCHAR, id_is_integer BOOLEAN, class VARCHAR,
    geometry GEOMETRY, -- in longitude/latitude, split at the antimeridian
    native GEOMETRY, -- in `crs`; null where that is EPSG:4326
    crs VARCHAR,
    xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE, -- in degrees; no edge that is straight in some CRS leaves this box
    properties VARCHAR, row_digest VARCHAR, valid_from BIGINT, valid_to BIGINT
);
CREATE TABLE IF NOT EXISTS state.raster (
    raster_key BIGINT, raster_id VARCHAR, collection VARCHAR, path VARCHAR, storage VARCHAR, crs VARCHAR, width BIGINT,
    height BIGINT, transform DOUBLE[], bands BIGINT, dtype VARCHAR, nodata DOUBLE, acquired TIMESTAMP, size BIGINT,
    md5 VARCHAR, sha256 VARCHAR, pixel_digest VARCHAR,
    outline GEOMETRY, -- exact, in `crs`
    axis_aligned BOOLEAN, -- the outline is a box
    splits_at_antimeridian BOOLEAN, -- longitudes -180 and 180 have different coordinates in `crs`
    crosses_180 BOOLEAN, -- `crs` is in degrees and the outline reaches beyond -180 or 180
    crs_is_partial BOOLEAN, -- `crs` does not express every place of the globe, as that of a satellite's view
    reaches_limb BOOLEAN, -- `crs_is_partial`, and the outline may be near or beyond the part that it expresses
    -- The outline in longitude/latitude, with densified edges, split at the antimeridian; empty if it is off the globe.
    footprint GEOMETRY,
    xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE, -- bounds in `crs`
    -- In degrees: the box around the raster, the shift of its second box near the antimeridian, a box inside the raster.
    bbox_xmin DOUBLE, bbox_ymin DOUBLE, bbox_xmax DOUBLE, bbox_ymax DOUBLE,
    lon_shift DOUBLE,
    inner_bbox_xmin DOUBLE, inner_bbox_ymin DOUBLE, inner_bbox_xmax DOUBLE, inner_bbox_ymax DOUBLE,
    -- Coordinates in the raster's frame: u = frame_u_lon * lon + frame_u_lat * lat + frame_u_0, v alike. See 022_raster.sql.
    frame_u_lon DOUBLE, frame_u_lat DOUBLE, frame_u_0 DOUBLE, frame_v_lon DOUBLE, frame_v_lat DOUBLE, frame_v_0 DOUBLE,
    -- Distances from the sides of the outline, positive inside: side_1_lon * lon + side_1_lat * lat + side_1_0, and so on; null if unknown.
    side_1_lon DOUBLE, side_1_lat DOUBLE, side_1_0 DOUBLE, side_2_lon DOUBLE, side_2_lat DOUBLE, side_2_0 DOUBLE,
    side_3_lon DOUBLE, side_3_lat DOUBLE, side_3_0 DOUBLE, side_4_lon DOUBLE, side_4_lat DOUBLE, side_4_0 DOUBLE,
    inside_margin DOUBLE, outside_margin DOUBLE, reach DOUBLE,
    parent_id VARCHAR, col BIGINT, "row" BIGINT, recipe VARCHAR, feature_id VARCHAR, properties VARCHAR,
    row_digest VARCHAR, valid_from BIGINT, valid_to BIGINT
);
CREATE TABLE IF NOT EXISTS state.edge (feature_key BIGINT, raster_key BIGINT, contains BOOLEAN, valid_from BIGINT, valid_to BIGINT);
CREATE TABLE IF NOT EXISTS state.label (
    label VARCHAR, raster_id VARCHAR, path VARCHAR, size BIGINT, md5 VARCHAR, sha256 VARCHAR, pixel_digest VARCHAR,
    row_digest VARCHAR, valid_from BIGINT, valid_to BIGINT
);
CREATE TABLE IF NOT EXISTS state.label_object (
    label VARCHAR, raster_id VARCHAR, feature_id VARCHAR, class VARCHAR, instance BIGINT, pixels BIGINT, box DOUBLE[],
    corners DOUBLE[][], visible DOUBLE, row_digest VARCHAR, valid_from BIGINT, valid_to BIGINT
);
CREATE TABLE IF NOT EXISTS state.split (
    split VARCHAR, raster_id VARCHAR, part VARCHAR, row_digest VARCHAR, valid_from BIGINT, valid_to BIGINT
);
CREATE TABLE IF NOT EXISTS state.event (position BIGINT, digest VARCHAR, keeps_row_order BOOLEAN, generation BIGINT);
-- A null type means that the column was dropped.
CREATE TABLE IF NOT EXISTS state.user_column (subject VARCHAR, name VARCHAR, type VARCHAR, ordinal BIGINT, position BIGINT);
CREATE TABLE IF NOT EXISTS state.recipe (
    name VARCHAR, kind VARCHAR, parameters VARCHAR, position BIGINT, ordinal BIGINT,
    generation BIGINT, added_by VARCHAR, place BIGINT, -- the event that created it, and the place there: the order of recipes
    valid_from BIGINT, valid_to BIGINT
);
CREATE TABLE IF NOT EXISTS state.recipe_record (name VARCHAR, position BIGINT);
-- New names of classes, collections and recipes (`subject`). The versions of objects that begin there differ from the ones before
-- by names only, unless a merge brings the renaming from another branch.
CREATE TABLE IF NOT EXISTS state.renaming (subject VARCHAR, old_name VARCHAR, name VARCHAR, position BIGINT, is_merged BOOLEAN);
CREATE TABLE IF NOT EXISTS state.tag (
    tag VARCHAR, position BIGINT, tagged_position BIGINT, digest VARCHAR, content_digest VARCHAR, merkle_root VARCHAR,
    version VARCHAR, log_root VARCHAR
);
-- Rows of the log that cannot be used: no other table of the state has them. `object` is the key of their object, whose next
-- change ends them; null if the row has no id.
CREATE TABLE IF NOT EXISTS state.unreadable_row (
    position BIGINT, table_name VARCHAR, ordinal BIGINT, object VARCHAR, problem VARCHAR, row_digest VARCHAR,
    valid_from BIGINT, valid_to BIGINT
);
-- The rows of the log by the objects that they name, so that finding those of one object compares integers, not texts. `role` says
-- which column of which table names it; a row of the log is found by position and ordinal.
CREATE TABLE IF NOT EXISTS state.object_change (role VARCHAR, object_hash UINTEGER, position BIGINT, ordinal BIGINT);
