-- 005_event.sql: the events, records of recipes and renamings, whose rows are those of the facts
-- needs: event_fact, recipe_fact, renaming_fact · makes: rows of state.event, state.recipe_record, state.renaming
INSERT INTO state.event FROM event_fact;
INSERT INTO state.recipe_record BY NAME SELECT name, position FROM recipe_fact;
INSERT INTO state.renaming BY NAME FROM renaming_fact;
