"""nacctd: the daemon of net-acct 0.71, with netledger counting underneath."""
