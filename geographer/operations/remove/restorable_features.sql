-- restorable_features.sql: the last version of each feature of $ids as a log row that adds it, with the code of what forbids that
-- needs: chain_feature_change, current_feature, current_class, later_name, variable position, $ids ·
-- makes: temp table restorable_feature
CREATE OR REPLACE TEMP TABLE restorable_feature AS
WITH last_change AS (
    SELECT feature_id, max(position) FILTER (change <> 'removed') AS position, max(position) AS removed_at
    FROM chain_feature_change
    WHERE position <= getvariable('position') AND feature_id IN (SELECT unnest($ids::VARCHAR[]))
    GROUP BY feature_id
), version AS (
    SELECT change.* EXCLUDE (change, position, ordinal, row_digest) REPLACE (coalesce(later, class) AS class)
    FROM chain_feature_change AS change JOIN last_change USING (feature_id, position)
    LEFT JOIN later_name ON subject = 'class' AND name = class AND removed_at > since AND removed_at < until
)
SELECT 'added' AS change, *, CASE
    WHEN feature_id IN (SELECT feature_id FROM current_feature) THEN 'exists'
    WHEN class NOT IN (SELECT class FROM current_class) THEN 'class' END AS problem
FROM version;
