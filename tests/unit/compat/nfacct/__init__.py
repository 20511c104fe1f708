"""The parts of nfacct's drop-in that need no kernel."""
