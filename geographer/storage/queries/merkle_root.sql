-- merkle_root.sql: the root of the Merkle tree over the sorted lines of the content digest, in the shape of RFC 9162
-- needs: content_line · makes: one result: root
-- Each level pairs the nodes of the one below; a last node without a partner moves up unchanged.
WITH RECURSIVE level AS (
    SELECT row_number() OVER (ORDER BY line) - 1 AS index, count(*) OVER () AS size,
           sha256('\x00'::BLOB || encode(line)) AS node
    FROM content_line
    UNION ALL SELECT index // 2, (any_value(size) + 1) // 2,
           if(count(*) = 1, any_value(node),
              sha256('\x01'::BLOB || unhex(arg_min(node, index)) || unhex(arg_max(node, index))))
    FROM level WHERE size > 1 GROUP BY index // 2
)
SELECT coalesce(max(node), sha256('')) AS root FROM level WHERE size = 1;
