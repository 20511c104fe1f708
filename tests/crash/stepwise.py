"""``netledger`` that kills itself at a named step of the ledger.

python -m tests.crash.stepwise STEP:TIMES ARGUMENTS…
"""

import sys

from netledger.cli.main import main
from netledger.ledger import Ledger
from tests.crash.lives import dying_at

if __name__ == "__main__":
    die_at = dying_at(sys.argv.pop(1))
    # Nobody can ask for it from outside, which is how it should be.
    assert Ledger.__init__.__kwdefaults__ is not None
    Ledger.__init__.__kwdefaults__["at_step"] = die_at
    main()
