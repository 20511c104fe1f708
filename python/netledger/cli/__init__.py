"""The ``netledger`` command: ``main`` and one file for each subcommand."""
