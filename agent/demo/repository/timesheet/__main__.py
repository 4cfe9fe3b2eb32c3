"""`python -m timesheet FILE` prints the report."""

import sys
from pathlib import Path

from timesheet.report import read_entries, render


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m timesheet FILE", file=sys.stderr)
        return 2
    print(render(read_entries(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
