"""rename: a collection, a recipe or a class."""

from geographer.cli.requests import Requests, make_request_group
from geographer.operations.rename.classes import RenameClass
from geographer.operations.rename.collections import RenameCollection
from geographer.operations.rename.recipes import RenameRecipe

_REQUESTS: Requests = {"collection": RenameCollection, "recipe": RenameRecipe, "class": RenameClass}
rename_command = make_request_group("rename", "rename recipe chips tiles", _REQUESTS)
