"""kill -9 at awkward moments, then the sums."""
