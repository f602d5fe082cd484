"""`python -m tinyart` is the command `tinyart`."""

import sys

from tinyart.cli import main

sys.exit(main())
