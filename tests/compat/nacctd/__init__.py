"""nacctd and our own beside each other."""
