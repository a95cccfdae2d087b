"""A process that reads the page's stream until it ends: a browser without the painting."""

import sys
import urllib.request
from contextlib import suppress
from http.client import IncompleteRead

if __name__ == "__main__":
    with suppress(OSError, IncompleteRead), urllib.request.urlopen(sys.argv[1]) as stream:  # noqa: S310  (http on loopback)
        while stream.read1(65536):
            pass
