-- schema.sql: the log's append-only tables of events; row_tables.py declares the tables of rows
-- needs: nothing · makes: log.meta, log.event, log.chain
-- The format that a version of geographer must know to read this log, and the version that wrote it in that format.
CREATE TABLE IF NOT EXISTS log.meta (format INTEGER NOT NULL, written_by VARCHAR NOT NULL);
-- An event is identified by its digest. Rows refer to it by `event_key`, which is only an address in this file.
CREATE TABLE IF NOT EXISTS log.event (
    event_key INTEGER NOT NULL UNIQUE, format INTEGER NOT NULL, event_id VARCHAR NOT NULL, kind VARCHAR NOT NULL,
    version INTEGER NOT NULL, recorded_at VARCHAR NOT NULL, author VARCHAR NOT NULL, message VARCHAR NOT NULL,
    command VARCHAR NOT NULL, idempotency_key VARCHAR, payload VARCHAR NOT NULL, rows_digest VARCHAR NOT NULL,
    parents VARCHAR[] NOT NULL, generation BIGINT NOT NULL, digest VARCHAR PRIMARY KEY
);
CREATE TABLE IF NOT EXISTS log.chain (
    branch VARCHAR NOT NULL, position BIGINT NOT NULL, event_key INTEGER NOT NULL, PRIMARY KEY (branch, position)
);
