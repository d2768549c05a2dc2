-- 000_schema.sql: the projection's tables; a version of an object is valid from `valid_from` until just before `valid_to`
CREATE TABLE IF NOT EXISTS state.meta (position BIGINT NOT NULL, made_by VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS state.class (
    class VARCHAR, value INTEGER, row_digest VARCHAR, valid_from BIGINT, valid_to BIGINT
);
CREATE TABLE IF NOT EXISTS state.feature (
    feature_key   BIGINT,
    feature_id    VARCHAR,
    id_is_integer BOOLEAN,
    class         VARCHAR,
    geometry      GEOMETRY,
    native        GEOMETRY,
    crs           VARCHAR,
    xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE,
    properties    VARCHAR,
    row_digest    VARCHAR,
    valid_from    BIGINT,
    valid_to      BIGINT
);
CREATE TABLE IF NOT EXISTS state.raster (
    raster_key   BIGINT,
    raster_id    VARCHAR,
    collection   VARCHAR,
    path         VARCHAR,
    storage      VARCHAR,
    crs          VARCHAR,
    width        BIGINT,
    height       BIGINT,
    transform    DOUBLE[],
    bands        BIGINT,
    dtype        VARCHAR,
    nodata       DOUBLE,
    acquired     TIMESTAMP,
    size         BIGINT,
    md5          VARCHAR,
    sha256       VARCHAR,
    pixel_digest VARCHAR,
    outline      GEOMETRY,
    boxed        BOOLEAN,
    torn         BOOLEAN,
    wraps        BOOLEAN,
    footprint    GEOMETRY,
    xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE,
    box_xmin DOUBLE, box_ymin DOUBLE, box_xmax DOUBLE, box_ymax DOUBLE,
    turn DOUBLE,
    inner_xmin DOUBLE, inner_ymin DOUBLE, inner_xmax DOUBLE, inner_ymax DOUBLE,
    u_lon DOUBLE, u_lat DOUBLE, u_0 DOUBLE, v_lon DOUBLE, v_lat DOUBLE, v_0 DOUBLE,
    surely_in DOUBLE, surely_out DOUBLE,
    parent_id    VARCHAR,
    col          BIGINT,
    "row"        BIGINT,
    recipe       VARCHAR,
    feature_id   VARCHAR,
    properties   VARCHAR,
    row_digest   VARCHAR,
    valid_from   BIGINT,
    valid_to     BIGINT
);
CREATE TABLE IF NOT EXISTS state.edge (
    feature_key BIGINT, raster_key BIGINT, contains BOOLEAN, valid_from BIGINT, valid_to BIGINT
);
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
CREATE TABLE IF NOT EXISTS state.recipe (name VARCHAR, kind VARCHAR, parameters VARCHAR, position BIGINT, valid_to BIGINT);
CREATE TABLE IF NOT EXISTS state.own_column (
    subject VARCHAR, name VARCHAR, type VARCHAR, ordinal BIGINT, position BIGINT
);
