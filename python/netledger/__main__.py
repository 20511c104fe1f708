"""``python -m netledger`` is the ``netledger`` command."""

from netledger.cli.main import main

main()
