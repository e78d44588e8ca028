"""`python -m tablesense` is `tablesense`."""

import sys

from tablesense.cli import main

sys.exit(main())
