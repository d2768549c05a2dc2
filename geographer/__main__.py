"""`python -m geographer`."""

from geographer.cli import main

if __name__ == "__main__":
    main()
