"""conntrack: its options, its output."""
