-- changed_objects.sql: the objects of {kind} whose content differs between the two sides, with both values and the event
-- needs: old_side_{kind}, new_side_{kind} (see side_versions.sql), $is_forward · makes: temp table changed_{kind}
CREATE OR REPLACE TEMP TABLE changed_{kind} AS
SELECT {keys}, CASE WHEN old.row_digest IS NULL THEN 'added' WHEN new.row_digest IS NULL THEN 'removed' ELSE 'changed' END AS change,
       -- The event that made the new version, or that ended the old one; of the later revision, if that is the old side.
       CASE WHEN $is_forward THEN coalesce(new.valid_from, old.valid_to) ELSE coalesce(old.valid_from, new.valid_to) END AS position,
       CASE WHEN old.row_digest IS NOT NULL THEN old END AS old, CASE WHEN new.row_digest IS NOT NULL THEN new END AS new
FROM old_side_{kind} AS old FULL JOIN new_side_{kind} AS new USING ({keys})
WHERE old.row_digest IS DISTINCT FROM new.row_digest;
