"""Say from where Python runs."""

import sys

print(sys.prefix)
