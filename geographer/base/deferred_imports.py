"""Deferred imports: let a module that a library imports on its own be loaded when it is first used."""

import sys
import threading
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_lock = threading.RLock()


class _DeferredModule(ModuleType):
    """A module that is loaded when an attribute is read that it lacks.

    Python's `LazyLoader` would load it for `import`, which reads `__spec__`.
    """

    def __getattr__(self, name: str) -> Any:
        with _lock:
            if type(self) is _DeferredModule:
                object.__setattr__(self, "__class__", ModuleType)
                spec = self.__spec__
                assert spec is not None
                assert spec.loader is not None
                spec.loader.exec_module(self)
        return getattr(self, name)


def defer_import(name: str) -> None:
    """Let a top-level module be loaded by the first use of one of its attributes, unless it is loaded or missing."""
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        module.__class__ = _DeferredModule
        sys.modules[name] = module
