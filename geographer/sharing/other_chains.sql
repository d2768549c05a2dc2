-- other_chains.sql: the chains with events that the chain of the branch in use lacks, and their last positions
-- needs: log.chain, variable branch · makes: one result: branch, last
WITH own AS (FROM log.chain WHERE branch = coalesce(getvariable('branch'), 'main'))
SELECT branch, max(position) AS last FROM log.chain WHERE branch <> coalesce(getvariable('branch'), 'main')
GROUP BY branch HAVING bool_or(event_key NOT IN (SELECT event_key FROM own)) ORDER BY branch;
