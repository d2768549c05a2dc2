-- schema.sql: the log's append-only tables; digests.py specifies how rows and events are hashed
-- needs: nothing · makes: log.event, log.class_change, log.feature_change, log.raster_change, log.label_change,
-- log.label_object_change, log.split_change, log.recipe_input, log.skipped_input

-- WKB is not compressed: it hardly gets smaller, and compressing it would take most of the time of an append.
CREATE TABLE IF NOT EXISTS log.event (
    position BIGINT PRIMARY KEY, event_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, version INTEGER NOT NULL,
    recorded_at VARCHAR NOT NULL, author VARCHAR NOT NULL, message VARCHAR NOT NULL, command VARCHAR NOT NULL,
    idempotency_key VARCHAR, payload VARCHAR NOT NULL, rows_digest VARCHAR NOT NULL, parents VARCHAR[] NOT NULL,
    digest VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS log.class_change (
    position BIGINT NOT NULL, ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, class VARCHAR NOT NULL,
    value INTEGER NOT NULL, row_digest VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS log.feature_change (
    position BIGINT NOT NULL, ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, feature_id VARCHAR NOT NULL,
    id_is_integer BOOLEAN, class VARCHAR, geometry BLOB USING COMPRESSION uncompressed, crs VARCHAR,
    properties VARCHAR, row_digest VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS log.raster_change (
    position BIGINT NOT NULL, ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, raster_id VARCHAR NOT NULL,
    collection VARCHAR, path VARCHAR, storage VARCHAR, crs VARCHAR, width BIGINT, height BIGINT, transform VARCHAR,
    bands BIGINT, dtype VARCHAR, nodata VARCHAR, acquired VARCHAR, size BIGINT, md5 VARCHAR, sha256 VARCHAR,
    pixel_digest VARCHAR, outline BLOB USING COMPRESSION uncompressed, parent_id VARCHAR, col BIGINT, "row" BIGINT,
    recipe VARCHAR, feature_id VARCHAR, properties VARCHAR, row_digest VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS log.label_change (
    position BIGINT NOT NULL, ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, label VARCHAR NOT NULL,
    raster_id VARCHAR NOT NULL, path VARCHAR, size BIGINT, md5 VARCHAR, sha256 VARCHAR, pixel_digest VARCHAR,
    row_digest VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS log.label_object_change (
    position BIGINT NOT NULL, ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, label VARCHAR NOT NULL,
    raster_id VARCHAR NOT NULL, feature_id VARCHAR NOT NULL, class VARCHAR, instance BIGINT, pixels BIGINT,
    box VARCHAR, corners VARCHAR, visible VARCHAR, row_digest VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS log.split_change (
    position BIGINT NOT NULL, ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, split VARCHAR NOT NULL,
    raster_id VARCHAR NOT NULL, part VARCHAR, row_digest VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS log.recipe_input (
    position BIGINT NOT NULL, ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, recipe VARCHAR NOT NULL,
    subject VARCHAR NOT NULL, object_id VARCHAR NOT NULL, geometry BLOB USING COMPRESSION uncompressed, crs VARCHAR,
    row_digest VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS log.skipped_input (
    position BIGINT NOT NULL, ordinal BIGINT NOT NULL, change VARCHAR NOT NULL, input VARCHAR NOT NULL,
    name VARCHAR NOT NULL, reason VARCHAR NOT NULL, row_digest VARCHAR NOT NULL
);
