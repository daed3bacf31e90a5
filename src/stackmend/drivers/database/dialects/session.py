# SPDX-License-Identifier: Apache-2.0
"""The settings that a session on MariaDB or MySQL relies on: set, and read back (docs/adr/0017).

A server's global values can be anything, because the services set their own per session, and a proxy may drop a SET.
Nothing is read or written through a session with wrong settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from stackmend.model.errors import SourceError

#: runs a statement; its rows, text as str or bytes
Run = Callable[[str], Iterable[Sequence[Any]]]

#: invalid values are refused, never adjusted; and rows can be restored unchanged, even a key of 0 or an invalid date
_SQL_MODE = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"

#: variable -> (value to set, value as shown by the server)
_VARIABLES: Mapping[str, tuple[str, str]] = {
    "sql_mode": (f"'{_SQL_MODE}'", _SQL_MODE),
    "time_zone": ("'+00:00'", "+00:00"),
    "autocommit": ("0", "OFF"),
    "completion_type": ("'NO_CHAIN'", "NO_CHAIN"),
    "foreign_key_checks": ("1", "ON"),
    "unique_checks": ("1", "ON"),
    "sql_auto_is_null": ("0", "OFF"),
    "sql_safe_updates": ("0", "OFF"),
    "sql_big_selects": ("1", "ON"),
    "sql_select_limit": ("18446744073709551615", "18446744073709551615"),
    "group_concat_max_len": ("16777216", "16777216"),
}
_NAMES = {
    "character_set_client": "utf8mb4",
    "character_set_connection": "utf8mb4",
    "character_set_results": "utf8mb4",
    "collation_connection": "utf8mb4_general_ci",
}
#: Galera: before each statement the node applies everything committed in the cluster, or reports that it cannot
_SYNC, _SYNC_ALL = "wsrep_sync_wait", 7
_ISOLATION = ("tx_isolation", "transaction_isolation")  #: MariaDB's name, MySQL's
_READ_ONLY = ("tx_read_only", "transaction_read_only")
#: a row locked for more than a few seconds is busy; the default of 50 would block a whole run
_LOCK_WAIT = "SET SESSION innodb_lock_wait_timeout = LEAST(@@innodb_lock_wait_timeout, 5)"


def settle(run: Run, where: str, *, write: bool = False) -> None:
    """Apply the settings to a session; SourceError, naming the variable, if one did not take effect.

    ``where`` names the database in that error. Unless ``write``, the session cannot change anything.
    """
    for statement in _statements(write):
        run(statement)
    wanted = _wanted(write)
    if write:
        wanted[_SYNC] = str(_SYNC_ALL)
    names = ", ".join(f"'{name}'" for name in wanted)
    shown = {_text(row[0]): _text(row[1]) for row in run(f"SHOW SESSION VARIABLES WHERE Variable_name IN ({names})")}
    if _SYNC in shown:
        run(f"SET SESSION {_SYNC} = {_SYNC_ALL}")
        shown[_SYNC] = _text(next(iter(run(f"SELECT @@SESSION.{_SYNC}")))[0])
        _check((_SYNC,), shown, wanted, where)
    for group in (_ISOLATION, _READ_ONLY, *((name,) for name in (*_VARIABLES, *_NAMES))):
        _check(group, shown, wanted, where)


def _check(names: Sequence[str], shown: Mapping[str, str], wanted: Mapping[str, str], where: str) -> None:
    """SourceError unless the variable, under one of its names, has the wanted value."""
    found = [name for name in names if name in shown]
    wrong = next((name for name in found if _parts(shown[name]) != _parts(wanted[name])), None)
    if wrong or not found:
        name = wrong or names[0]
        raise SourceError(
            f"{where} cannot be used: its session has {name} = {shown.get(name, 'nothing')!r}"
            f" after it was set to {wanted[name]!r}",
            "Something between this machine and the server drops or overrides SET: use the address of the server"
            " itself, or let the proxy pass on what these accounts set.",
        )


def _statements(write: bool) -> tuple[str, ...]:
    mode = "READ WRITE" if write else "READ ONLY"
    return (
        # one by one: a proxy that knows some of them would have to pass on all of them
        *(f"SET SESSION {name} = {value}" for name, (value, _) in _VARIABLES.items()),
        f"SET NAMES utf8mb4 COLLATE {_NAMES['collation_connection']}",
        "SET SESSION net_write_timeout = 600",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        f"SET SESSION TRANSACTION {mode}",
        *((_LOCK_WAIT,) if write else ()),
    )


def _wanted(write: bool) -> dict[str, str]:
    return {
        **{name: shown for name, (_, shown) in _VARIABLES.items()},
        **_NAMES,
        **dict.fromkeys(_ISOLATION, "REPEATABLE-READ"),
        **dict.fromkeys(_READ_ONLY, "OFF" if write else "ON"),
    }


def _parts(value: str) -> set[str]:
    """The order of modes is irrelevant."""
    return set(value.upper().split(","))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
