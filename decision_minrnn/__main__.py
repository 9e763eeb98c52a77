"""`python -m decision_minrnn`, the same as the command `decision-minrnn`."""

import sys

from decision_minrnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
