"""Map where a model trained on a split's samples is applicable (`geographer applicability`)."""
