"""Health check: whether a server answers 200 at an address. `python docker/healthy.py ADDRESS`."""

import sys
import urllib.error
import urllib.request


def main(address: str) -> int:
    """Return 0 where it does; an error says why it does not."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, urllib.error.URLError) as error:
        sys.stderr.write(f"{address}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
