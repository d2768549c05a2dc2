"""The function `geographer.audit`: imported from here, it can read the events in the log of a release."""

from geographer.outputs.audit.run import audit_dataset

__all__ = ["audit_dataset"]
