"""`python -m sandbox` serves a sandbox until it is stopped."""

import sys

from sandbox.commands import main

sys.exit(main(sys.argv[1:]))
