"""Pure decisions over Arrow tables and numpy arrays: nothing here reads or writes."""
