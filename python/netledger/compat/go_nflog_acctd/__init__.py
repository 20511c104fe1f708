"""go-nflog-acctd: its options, its files, its output."""
