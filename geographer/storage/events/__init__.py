"""Events: recorded changes, each with an envelope, a payload (parameters and summary) and typed rows (the objects).

- `envelope`  the event as the log chains it, its head, and what a change returns
- `payload`   the base class of payloads: one typed class for each kind and version carries all that is specific to it
- `row_tables` the tables of the typed rows
- `signed_tag` what a signature of a tag covers, with the signature and its time stamp
"""

from geographer.storage.events.envelope import EMPTY_LOG_HEAD, ChangeResult, CommitInfo, Event, Head
from geographer.storage.events.payload import EventPayload

__all__ = ["EMPTY_LOG_HEAD", "ChangeResult", "CommitInfo", "Event", "EventPayload", "Head"]
