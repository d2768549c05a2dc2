"""Pure decisions about splits: what hangs together, and which part it goes to."""
