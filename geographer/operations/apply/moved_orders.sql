-- moved_orders.sql: the order of addition of {subject}s at one revision, then those that have another one, or none, at a second
-- needs: current_{subject}, {subject}_order · makes: temp table reference_order; one result: id, position, place
CREATE OR REPLACE TEMP TABLE reference_order AS
SELECT {subject}_id AS id, added FROM current_{subject} JOIN {subject}_order USING ({subject}_id);
SELECT id, reference.added >> 32, reference.added & 4294967295
FROM reference_order AS reference
LEFT JOIN (SELECT {subject}_id AS id, added FROM current_{subject} JOIN {subject}_order USING ({subject}_id)) AS head USING (id)
WHERE reference.added IS DISTINCT FROM head.added;
