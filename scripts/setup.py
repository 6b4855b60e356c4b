#!/usr/bin/env python3
"""Sets up what a build needs and the machine lacks: libtorch, inside this clone. `make setup` calls it.

Needs python3 (3.9 or newer) with its standard library and pip; see scripts/libtorch_setup for the parts.
"""

import sys

if sys.version_info < (3, 9):  # noqa: UP036 -- before the imports below, which older versions cannot parse
    sys.stderr.write(
        "setup: python3 is %d.%d, 3.9 or newer is needed: sudo apt-get install python3\n" % sys.version_info[:2]
    )
    sys.exit(2)

from libtorch_setup.run import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
