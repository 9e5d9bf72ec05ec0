"""`scowl-edge`: one file a subcommand, imported only when it is used, so that `--help` is fast.

`app.py` declares what each subcommand takes and teaches; the file of its name does the work. Exit status: 0 done,
1 it failed while running, 2 the command line or the configuration is wrong. Errors of ours are told in one message.
"""

from scowl_edge.cli.app import main

__all__ = ["main"]
