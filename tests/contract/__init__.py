"""One suite for every source and one for every export."""
