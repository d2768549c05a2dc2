"""What the fork server imports before it forks."""

from tests.reliability.processes import preload_modules

preload_modules()
