-- orders.sql: places in the order of addition that objects of {subject} get: that of the taken version; the earlier one if both sides have
--   it, a place at the common events before all others
-- needs: side_event, log.{subject}_change, {given}, given_place, decision_{subject}_change · makes: temp table new_order: id, place (null:
-- that at the common events)
CREATE OR REPLACE TEMP TABLE new_order AS
WITH addition AS (
    SELECT side, {subject}_id AS id, position, 0 AS rank, {{'generation': generation, 'digest': digest, 'place': if(keeps_row_order, ordinal, 0)}} AS place
    FROM log.{subject}_change JOIN side_event USING (event_key) WHERE change = 'added'
    UNION ALL
    SELECT side, object_id, position, 1, {{'generation': given.generation::BIGINT, 'digest': given.digest, 'place': given.place::BIGINT}}
    FROM {given} AS given JOIN side_event USING (event_key) WHERE subject = '{subject}' AND change <> 'removed'
    UNION ALL
    SELECT side, object_id, position, 1, {{'generation': generation, 'digest': '', 'place': place}} FROM given_place
    WHERE subject = '{subject}'
), side_place AS (
    SELECT side, id, arg_max(place, row(position, rank)) AS place FROM addition GROUP BY ALL
), outcome AS (
    SELECT {subject}_id AS id, own.place AS first_place, other.place AS second_place,
           first_digest IS NULL AND (chosen = 'merged' OR (chosen = 'second' AND second_digest IS NOT NULL)) AS is_new,
           CASE WHEN chosen = 'second' THEN second_digest WHEN chosen = 'first' THEN first_digest WHEN chosen = 'merged' THEN '' END AS present,
           CASE WHEN first_digest IS NULL THEN other.place WHEN second_digest IS NULL THEN own.place
                WHEN chosen <> 'merged' AND first_digest <> second_digest THEN if(chosen = 'first', own.place, other.place)
                WHEN own.place IS NOT NULL AND other.place IS NOT NULL THEN least(own.place, other.place) END AS place
    FROM decision_{subject}_change
    LEFT JOIN (FROM side_place WHERE side = 'first') AS own ON own.id = {subject}_id
    LEFT JOIN (FROM side_place WHERE side = 'second') AS other ON other.id = {subject}_id
)
SELECT id, place FROM outcome WHERE present IS NOT NULL AND (is_new OR place IS DISTINCT FROM first_place);
