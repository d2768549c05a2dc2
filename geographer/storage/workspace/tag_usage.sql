-- tag_usage.sql: the data files of each tag, and whether neither the head nor another tagged revision has them
-- needs: stored_file, state.tag, $at · makes: temp table tag_file (tag, position, md5, size, is_own), one row per tag and file
CREATE OR REPLACE TEMP TABLE tag_file AS
WITH known_tag AS (
    SELECT tag, tagged_position AS position FROM state.tag WHERE tag.position <= $at AND tagged_position <= $at
), used_position AS (
    SELECT position FROM known_tag UNION SELECT $at
), used_file AS (
    SELECT DISTINCT used_position.position, md5, size
    FROM stored_file JOIN used_position ON valid_from <= used_position.position AND valid_to > used_position.position
), counted_file AS (
    SELECT *, count(*) OVER (PARTITION BY md5) AS users FROM used_file
), counted_tag AS (
    SELECT *, count(*) OVER (PARTITION BY position) AS tags FROM known_tag
)
SELECT tag, position, md5, size, users = 1 AND tags = 1 AND position <> $at AS is_own
FROM counted_tag JOIN counted_file USING (position);
