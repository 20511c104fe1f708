"""Where it is learnt whose an address is: each kind of source tells facts to a recorder, and knows nothing else."""
