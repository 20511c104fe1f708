"""One file for each module of the package, without kernel and without root."""
