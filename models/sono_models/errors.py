"""What can go wrong, named after what the caller should do.

SonoError                 one line for a person: the thing, the reason, the next step
├── Refused               bad input: mend it, then try again
│   ├── BadConfig         a configuration or an option
│   ├── BadBundle         a bundle that is damaged, incomplete or not ours
│   ├── BadProfile        a site profile that is damaged, forged, expired, or for another site or bundle
│   ├── BadOrder          a desired document that is forged, damaged, or for another device; a roll-out that cannot be
│   ├── BadSource         a source that is not there, or is not a picture stream
│   └── BadManifest       a table of images that cannot be read
├── Unavailable           may heal by itself: retry with back-off
│   ├── SourceLost        a camera or a stream went away
│   └── BrokerLost        no broker, or it closed the door
└── Stopped               cannot go on here: stop, keep what is on disk
    └── DiskFull          no room to record what must survive
"""

from __future__ import annotations


class SonoError(Exception):
    """A failure that a person can act on. `str()` of it is one line: thing, reason, next step."""

    code: str = ""
    """A short machine word, where a caller has to tell one reason from another."""

    def __init__(self, thing: str, reason: str, next_step: str) -> None:
        self.thing, self.reason, self.next_step = thing, reason, next_step
        super().__init__(f"{thing}: {reason}. {next_step}")


class Refused(SonoError):
    """Bad input: mend it, then try again."""


class BadConfig(Refused):
    """A configuration file or an option."""


class BadBundle(Refused):
    """A bundle that is damaged, incomplete or not ours."""


class BadProfile(Refused):
    """A site profile that is damaged, forged, expired, or made for another site or bundle."""


class BadOrder(Refused):
    """A desired document that is forged, damaged or for another device; a roll-out that cannot be."""


class BadSource(Refused):
    """A source that is not there, or is not a stream of pictures."""


class BadManifest(Refused):
    """A table of images that cannot be read."""


class Unavailable(SonoError):
    """May heal by itself: retry with back-off."""


class SourceLost(Unavailable):
    """A camera or a stream that went away."""


class BrokerLost(Unavailable):
    """No broker, or it closed the door."""


class Stopped(SonoError):
    """Cannot go on here: stop, keep what is on disk."""


class DiskFull(Stopped):
    """No room to record what must survive."""
