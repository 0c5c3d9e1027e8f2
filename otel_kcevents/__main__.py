"""`python -m otel_kcevents`, the same as the command `otel-kcevents`."""

import sys

from otel_kcevents.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":  # pragma: no branch - nothing imports it
    sys.exit(main())
