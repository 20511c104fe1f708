"""Parts of the drop-in for conntrack, without a kernel."""
