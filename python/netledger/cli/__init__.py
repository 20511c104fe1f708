"""The ``netledger`` command: ``main`` and one file for each subcommand."""

import os
import signal
import sys

# Before all else is loaded, which takes a while: the default action of both is to kill. The daemon installs its own.
if sys.argv[1:2] == ["run"]:
    for _number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(_number, signal.SIG_IGN)

# Pydantic would look through everything that is installed for plug-ins; none may change what a configuration means.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
