# SPDX-License-Identifier: Apache-2.0
"""An interactive shell with the operator's own settings, whose prompt shows that it is in the lab."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

_BASH = '[ ! -f ~/.bashrc ] || . ~/.bashrc\nPS1="(lab) $PS1"\n'
_ZSH = 'ZDOTDIR={home}\n[[ ! -f $ZDOTDIR/.zshrc ]] || . $ZDOTDIR/.zshrc\nPROMPT="(lab) $PROMPT"\n'
_FISH = 'functions -c fish_prompt _lab_prompt; function fish_prompt; echo -n "(lab) "; _lab_prompt; end'


def prompting(shell: str, folder: Path) -> tuple[Sequence[str], Mapping[str, str]]:
    """(options, environment) of an interactive shell; its start-up files are written into ``folder``."""
    name = Path(shell).name
    if name == "bash":
        (folder / "bashrc").write_text(_BASH)
        return ("--rcfile", str(folder / "bashrc"), "-i"), {}
    if name == "zsh":
        home = os.environ.get("ZDOTDIR") or str(Path.home())
        (folder / "zsh").mkdir(exist_ok=True)
        (folder / "zsh" / ".zshrc").write_text(_ZSH.format(home=home))
        return ("-i",), {"ZDOTDIR": str(folder / "zsh")}
    if name == "fish":
        return ("-i", "-C", _FISH), {}
    (folder / "shrc").write_text('PS1="(lab) $ "\n')
    return ("-i",), {"ENV": str(folder / "shrc")}
