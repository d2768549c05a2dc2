-- 005_event.sql: the events, user columns and records of recipes, whose rows are those of the facts
-- needs: event_fact, user_column_fact, recipe_fact · makes: rows of state.event, state.user_column, state.recipe_record
INSERT INTO state.event FROM event_fact;
INSERT INTO state.user_column BY NAME FROM user_column_fact;
INSERT INTO state.recipe_record BY NAME SELECT name, position FROM recipe_fact;
