-- 005_event.sql: the events, user columns, records of recipes and renamings, whose rows are those of the facts
-- needs: event_fact, user_column_fact, recipe_fact, renaming_fact ·
-- makes: rows of state.event, state.user_column, state.recipe_record, state.renaming
INSERT INTO state.event FROM event_fact;
INSERT INTO state.user_column BY NAME FROM user_column_fact;
INSERT INTO state.recipe_record BY NAME SELECT name, position FROM recipe_fact;
INSERT INTO state.renaming BY NAME FROM renaming_fact;
