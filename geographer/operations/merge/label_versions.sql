-- label_versions.sql: the version of each label on each side, its objects included
-- needs: version_label_change, version_label_object_change · makes: temp table version_label_group
CREATE OR REPLACE TEMP TABLE version_label_group AS
SELECT side, label, raster_id, md5(string_agg(line, chr(10) ORDER BY line)) AS row_digest,
       max({'generation': generation, 'digest': digest}).generation AS generation,
       max({'generation': generation, 'digest': digest}).digest AS digest
FROM (SELECT side, label, raster_id, 'label ' || row_digest AS line, generation, digest FROM version_label_change
      UNION ALL SELECT side, label, raster_id, 'object ' || row_digest, generation, digest FROM version_label_object_change)
GROUP BY side, label, raster_id;
