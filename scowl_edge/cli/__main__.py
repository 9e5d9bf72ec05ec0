"""`python -m scowl_edge.cli`, where the command is not on the path."""

from scowl_edge.cli import main

main(prog_name="scowl-edge")
