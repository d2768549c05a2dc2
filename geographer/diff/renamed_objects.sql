-- renamed_objects.sql: objects of {kind} on the old side get the names $new_names in the place of $old_names; those that have the values of
--   the new side are equal to it
-- needs: old_side_{kind}, new_side_{kind}, $old_names, $new_names · makes: temp table name_on_new_side; changed rows of old_side_{kind}
CREATE OR REPLACE TEMP TABLE name_on_new_side AS
SELECT unnest($old_names::VARCHAR[]) AS old_name, unnest($new_names::VARCHAR[]) AS new_name;

UPDATE old_side_{kind} AS old_side SET {name} = new_name FROM name_on_new_side WHERE old_side.{name} = old_name;

UPDATE old_side_{kind} AS old_side SET row_digest = new_side.row_digest
FROM new_side_{kind} AS new_side
WHERE {same} AND old_side.{name} IN (SELECT new_name FROM name_on_new_side) AND row({old_values}) IS NOT DISTINCT FROM row({new_values});
