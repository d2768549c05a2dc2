"""Replay of context classes: which classes are context after each event, under the names that they have then."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from geographer.planning.declarations import Declaration
from geographer.storage.events.payload import EventPayload


class ClassEvent(NamedTuple):
    """An event that may change classes or what is context, with the classes of its rows by their change."""

    declaration: Declaration
    payload: EventPayload
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()

    @property
    def event_digest(self) -> str:
        """The digest of the event."""
        return self.declaration.digest

    @property
    def event_order(self) -> tuple[int, str]:
        """The place of the event in an order that both sides of a merge have."""
        return self.declaration.generation, self.declaration.digest


@dataclass(slots=True)
class ContextReplay:
    """What events, added in the order of generation and digest, say of context classes.

    Attributes:
        is_ancestor: Whether the event of a digest leads to that of another one.
        flags: Whether a class is context, by its name; not context without an entry.
        changed_at: The position at which a class became a context class, or a learned one again.
    """

    is_ancestor: Callable[[str, str], bool]
    flags: dict[str, bool] = field(default_factory=dict)
    changed_at: dict[str, int] = field(default_factory=dict)
    _left: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    """What each class that is no more became, and the digest of the event in which it did."""
    _targets: dict[str, Mapping[str, str | None]] = field(default_factory=dict)
    """What the classes became that an event moved, by its digest."""
    _ended: dict[str, dict[str, bool]] = field(default_factory=dict)
    """The flags that ended with an event, by its digest."""

    def add_event(self, event: ClassEvent) -> None:
        """Apply an event, which comes after those that were added."""
        reverted = event.payload.reverted_digest
        if reverted is not None:
            self._revert_event(event, reverted)
        elif targets := dict(event.payload.iter_class_targets()):
            self._move_flags(event, targets)
        # The rows of a merge repeat what the merged events did.
        if not event.declaration.is_merge:
            self._end_flags(event)
        for key, value in (("context_classes", True), ("learned_classes", False)):
            for given in event.declaration.payload.get(key, ()) if event.payload.declares_context else ():
                if (name := self._find_later_name(given, event.event_digest)) is not None:
                    self._set_flag(name, event.declaration.position, value=value)

    def _set_flag(self, name: str, position: int, *, value: bool) -> None:
        if self.flags.get(name, False) != value:
            self.changed_at[name] = position
        self.flags[name] = value

    def _move_flags(self, event: ClassEvent, targets: Mapping[str, str | None]) -> None:
        """Give each new class the flag of the one that it was; a combined one is context if all its parts are."""
        before = {name: self.flags.pop(name, False) for name in targets}
        times = {name: self.changed_at.pop(name) for name in targets if name in self.changed_at}
        self._targets[event.event_digest], self._ended[event.event_digest] = targets, before
        for target in {*targets.values()} - {None}:
            if target is None or (target not in event.added and target not in targets):
                continue
            sources = (
                [target] if targets.get(target) == target else [name for name in targets if targets[name] == target]
            )
            self._left.pop(target, None)
            self.flags[target] = all(before[name] for name in sources)
            if len(sources) == 1 and sources[0] in times:
                self.changed_at[target] = times[sources[0]]
            elif self.flags[target]:
                self.changed_at[target] = event.declaration.position
        self._left.update({name: (targets[name], event.event_digest) for name in event.removed & targets.keys()})

    def _end_flags(self, event: ClassEvent) -> None:
        """End the flags of the classes that an event removes."""
        moved = self._targets.get(event.event_digest, {})
        ended = self._ended.setdefault(event.event_digest, {})
        for name in event.removed - moved.keys():
            ended[name] = self.flags.pop(name, False)
            self.changed_at.pop(name, None)
            self._left[name] = (None, event.event_digest)

    def _revert_event(self, event: ClassEvent, reverted: str) -> None:
        """Give the classes that come back the flags of those that they were, or that they had."""
        targets = self._targets.get(reverted, {})
        counts, rows = Counter(targets.values()), event.added | event.removed | event.changed
        inverse = {new: old for old, new in targets.items() if new in rows and old in rows and counts[new] == 1}
        self._move_flags(event, {new: old for new, old in inverse.items() if new is not None})
        for name in event.added.difference(inverse.values()):
            self._left.pop(name, None)
            self._set_flag(name, event.declaration.position, value=self._ended.get(reverted, {}).get(name, False))

    def _find_later_name(self, name: str, digest: str) -> str | None:
        """Return the name that a class got beside an event which names it; None: it was removed beside the event."""
        seen: set[str] = set()
        while name in self._left and name not in seen:
            seen.add(name)
            target, left_in = self._left[name]
            if self.is_ancestor(left_in, digest):
                # A new class has the name.
                del self._left[name]
                return name
            if target is None:
                return None
            name = target
        return name


def replay_events(events: Iterable[ClassEvent], is_ancestor: Callable[[str, str], bool]) -> ContextReplay:
    """Return the replay of events, of which some may have come to the chain with merges.

    The order of all is that of generation and digest; a flag that is the same after a merge as before keeps its place.
    """
    replay = ContextReplay(is_ancestor)
    added: list[ClassEvent] = []
    by_position: dict[int, list[ClassEvent]] = {}
    for event in events:
        by_position.setdefault(event.declaration.position, []).append(event)
    for position, group in sorted(by_position.items()):
        is_later = not added or max(event.event_order for event in added) < min(event.event_order for event in group)
        added += group
        before = replay
        replay = before if is_later else ContextReplay(is_ancestor)
        for event in sorted(group if is_later else added, key=lambda event: event.event_order):
            replay.add_event(event)
        if not is_later:
            replay.changed_at = _list_changes(before, replay, position)
    return replay


def _list_changes(before: ContextReplay, after: ContextReplay, position: int) -> dict[str, int]:
    """Return where the flags changed that a merge at a position leaves."""
    changed_at = {}
    for name, flag in after.flags.items():
        if before.flags.get(name, False) != flag:
            changed_at[name] = position
        elif name in before.changed_at:
            changed_at[name] = before.changed_at[name]
    return changed_at
