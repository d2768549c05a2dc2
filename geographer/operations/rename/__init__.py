"""Rename operation: give a collection, a recipe or a class another name; its history goes on.

- `events`      the events
- `collections` the request for a collection
- `recipes`     the request for a recipe
- `classes`     the request for a class
- `renamed_recipes` the recipes that use a name, as the events record them
"""
