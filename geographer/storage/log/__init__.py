"""The log: append-only tables of events and of the rows that they add, chained by digests."""
