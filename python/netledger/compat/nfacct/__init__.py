"""The command ``nfacct`` of netfilter, version 1.0.2: its words, its output and its messages."""
