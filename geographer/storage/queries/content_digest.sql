-- content_digest.sql: the digest of a revision's content, whatever its history: of its objects' sorted row digests
-- needs: content_line · makes: one result: digest
SELECT coalesce(sha256(string_agg(line || chr(10), '' ORDER BY line)), sha256('')) AS digest FROM content_line;
