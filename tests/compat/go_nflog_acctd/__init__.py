"""go-nflog-acctd's drop-in against transcripts of the old program."""
