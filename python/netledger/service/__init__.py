"""The files of the service: for systemd, and a configuration to begin with."""
