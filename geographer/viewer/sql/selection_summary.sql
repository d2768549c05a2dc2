-- selection_summary.sql: how many objects of each kind a selection has, how many of them no map shows, and the box around the others
-- needs: {source} (formatted) · makes: a row for each kind: kind, number, beyond, x0, y0, x1, y1
SELECT kind, count(*) AS number, count_if(is_beyond) AS beyond, min(x0) FILTER (NOT is_beyond), min(y0) FILTER (NOT is_beyond),
       max(x1) FILTER (NOT is_beyond), max(y1) FILTER (NOT is_beyond)
FROM ({source}) GROUP BY kind ORDER BY number DESC, kind
