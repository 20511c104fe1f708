"""Real packets through a real kernel, in network namespaces of their own."""
