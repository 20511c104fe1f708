"""nacctd, without a network."""
