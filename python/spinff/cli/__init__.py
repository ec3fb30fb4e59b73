"""The ``spinff`` command: one module per sub-command, listed in ``spinff.cli.main``."""
