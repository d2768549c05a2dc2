"""Operations: one package for each kind of change to a dataset. They do not import each other."""
