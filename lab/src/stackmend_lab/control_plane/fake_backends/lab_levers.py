# SPDX-License-Identifier: Apache-2.0
"""Levers: files with which a test makes a fake wait during an action, or fail it.

``<state>/levers/<place>/<action>`` holds one word: ``hold`` (wait as long as the file exists; ``<action>.held`` shows
that the fake waits) or ``fail``.
"""

import os
import time
from pathlib import Path

STATE = Path(os.environ["STACKMEND_LAB_STATE"])


def word(place, action):
    """The instruction for this action, "" for none."""
    try:
        return (STATE / "levers" / place / action).read_text().strip()
    except OSError:
        return ""


def obey(place, action, failure):
    """Wait or raise ``failure``, as the lever requires."""
    asked = word(place, action)
    if asked == "fail":
        raise failure
    if asked == "hold":
        held = STATE / "levers" / place / f"{action}.held"
        held.touch()
        while word(place, action) == "hold":
            time.sleep(0.1)
        held.unlink(missing_ok=True)
