-- decision.sql: which side's version of each object of {objects} is taken; null: both changed it, differently
-- needs: {versions}, {objects}, $bases (their number) · makes: temp table decision_{name}: {keys}, the digests and last events of both
-- parents' versions, chosen
CREATE OR REPLACE TEMP TABLE decision_{name} AS
WITH side_version AS (
    SELECT {keys}, max(row_digest) FILTER (side = 'first') AS first_digest, max(row_digest) FILTER (side = 'second') AS second_digest,
           max({{'generation': generation, 'digest': digest}}) FILTER (side = 'first') AS first_made,
           max({{'generation': generation, 'digest': digest}}) FILTER (side = 'second') AS second_made,
           count(*) FILTER (starts_with(side, 'base')) AS base_count,
           min(row_digest) FILTER (starts_with(side, 'base')) AS base_digest, max(row_digest) FILTER (starts_with(side, 'base')) AS other_digest
    FROM {objects} LEFT JOIN {versions} USING ({keys}) GROUP BY ALL
), with_base AS (
    SELECT *, base_count = 0 OR (base_count = $bases AND base_digest = other_digest) AS bases_agree FROM side_version
)
SELECT {keys}, first_digest, second_digest, first_made, second_made,
       CASE WHEN first_digest IS NOT DISTINCT FROM second_digest THEN 'first'
            WHEN bases_agree AND second_digest IS NOT DISTINCT FROM base_digest THEN 'first'
            WHEN bases_agree AND first_digest IS NOT DISTINCT FROM base_digest THEN 'second' END AS chosen
FROM with_base;
