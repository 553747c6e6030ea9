"""`python -m sandbox.board`."""

from sandbox.board.cli import main

main()
