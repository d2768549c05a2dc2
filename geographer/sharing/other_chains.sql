-- other_chains.sql: the chains with events that the chain of this dataset lacks, and their last positions
-- needs: log.chain · makes: one result: branch, last
SELECT branch, max(position) AS last FROM log.chain WHERE branch <> 'main'
GROUP BY branch HAVING bool_or(event_key NOT IN (SELECT event_key FROM log.chain WHERE branch = 'main')) ORDER BY branch;
