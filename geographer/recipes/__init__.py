"""Recipes: named, replayable steps (cut, label, split). Each queries, plans, makes, and hands back one event."""
