"""``python -m kineme``: the command line."""

from .apps.cli import entry

entry()
