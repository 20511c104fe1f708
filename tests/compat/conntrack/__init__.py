"""conntrack: ours beside the real one."""
