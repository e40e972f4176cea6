"""`python -m tutti` is the command line."""

from tutti.cli.main import main

main()
