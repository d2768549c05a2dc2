"""The log: append-only tables of events and of the rows that they touch, chained by digest. It is the truth."""
