# SPDX-License-Identifier: Apache-2.0
"""Levers: files by which a test makes a fake wait in the middle of an action, or fail it.

``<state>/levers/<place>/<action>`` holds one word: ``hold`` (wait as long as the file is there; ``<action>.held`` says
that somebody waits) or ``fail``.
"""

import os
import time
from pathlib import Path

STATE = Path(os.environ["STACKMEND_LAB_STATE"])


def word(place, action):
    """What is asked of this action, "" for nothing."""
    try:
        return (STATE / "levers" / place / action).read_text().strip()
    except OSError:
        return ""


def obey(place, action, failure):
    """Wait or raise ``failure``, as the lever says."""
    asked = word(place, action)
    if asked == "fail":
        raise failure
    if asked == "hold":
        held = STATE / "levers" / place / f"{action}.held"
        held.touch()
        while word(place, action) == "hold":
            time.sleep(0.1)
        held.unlink(missing_ok=True)
