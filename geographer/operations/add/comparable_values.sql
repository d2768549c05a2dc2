-- comparable_values.sql: forms of the texts of user columns that are equal for equal values, whatever type a file format has for them
-- needs: nothing · makes: macros comparable_bigint, comparable_double, comparable_boolean, comparable_timestamp, comparable_date, comparable_varchar
-- A text that is no value of the type, or would lose something as one, stays as it is: it is an edit.
CREATE OR REPLACE TEMP MACRO comparable_bigint(text) AS
    CASE WHEN regexp_full_match(text, '-?[0-9]+') THEN text
         WHEN TRY_CAST(text AS DOUBLE) = trunc(TRY_CAST(text AS DOUBLE)) AND abs(TRY_CAST(text AS DOUBLE)) <= 2 ** 53
         THEN TRY_CAST(text AS DOUBLE)::BIGINT::VARCHAR ELSE text END;
-- NaN is NULL, as many formats have it.
CREATE OR REPLACE TEMP MACRO comparable_double(text) AS
    CASE WHEN regexp_full_match(text, '-?[0-9]+') AND abs(TRY_CAST(text AS HUGEINT)) > 2::HUGEINT ** 53 THEN text
         ELSE nullif(coalesce(TRY_CAST(text AS DOUBLE)::VARCHAR, text), 'nan') END;
CREATE OR REPLACE TEMP MACRO comparable_boolean(text) AS
    CASE text WHEN '1' THEN 'true' WHEN '0' THEN 'false' ELSE text END;
CREATE OR REPLACE TEMP MACRO comparable_timestamp(text) AS
    CASE WHEN regexp_full_match(text, '[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?')
         THEN coalesce(TRY_CAST(text AS TIMESTAMP)::VARCHAR, text) ELSE text END;
CREATE OR REPLACE TEMP MACRO comparable_date(text) AS comparable_timestamp(text);
CREATE OR REPLACE TEMP MACRO comparable_varchar(text) AS text;
