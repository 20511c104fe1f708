"""go-nflog-acctd: flags, durations, names, bytes."""
