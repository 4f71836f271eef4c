"""`python -m autotrack`: the command line."""

from .cli import main

main()
