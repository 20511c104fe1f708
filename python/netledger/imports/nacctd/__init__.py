"""Log files of nacctd (net-acct), whichever fields their lines have."""
