# SPDX-License-Identifier: Apache-2.0
"""Delete the key pairs of a user that does not exist.

## What it does
Deletes each key pair of that user, through Nova's API or in `nova_api.key_pairs`. Servers keep a copy of the key that
they were built with (`instance_extra.keypairs`).

## Guards
Keystone has no such user when the plan is made, and the key pairs are still as the plan shows them: Keystone's database
is never part of a transaction, because no account needs more there than to read.

Through the API only if Nova finds every one of them by its name. Under `/v2` it still accepts names that it then finds
under no address: with letters other than ASCII, or with a slash. Those key pairs can be deleted only in the database.

## Undo
In the database the rows are restored. Through the API a key pair cannot be restored by an administrator without its
public key: the user would have to import it again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.compute import DeleteKeyPair
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import DeleteRow, Record, Risk, Step
from stackmend.repairs.calls import api_of, guarded


def api(target: Row, live: Live) -> Iterator[Step]:
    """One call to Nova for each key pair; none if none is left. CannotRepair if Nova does not find one of them."""
    services = api_of(live, DeleteKeyPair)
    for row in _left(target, live):
        made = DeleteKeyPair(user=str(row["user_id"]), name=str(row["name"]))
        found = services.look(made)
        if found["key_pair"] == "absent":
            raise CannotRepair(
                f"Nova finds no key pair by the name {row['name']!r}, so it cannot be asked to delete it"
            )
        yield guarded(made, found, ("fingerprint",))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Nova's API database; none if no key pair is left."""
    for row in _left(target, live):
        yield DeleteRow(database="nova_api", table="key_pairs", pk={"id": row["id"]}, before=row)


def _left(target: Row, live: Live) -> list[Record]:
    user = str(target["user"])
    for table, column in (("user", "id"), ("id_mapping", "public_id")):
        if live.rows("keystone", table, {column: user}):
            raise CannotRepair(f"Keystone has user {user} by now: audit again")
    return live.rows("nova_api", "key_pairs", {"user_id": user})


REPAIR = Repair(
    name="delete-key-pairs",
    risk=Risk.UNSAFE,
    why="if the user exists after all, in another Keystone, the public keys have to be imported again",
    resource="user",
    checks=("resource-user-missing",),
    codes=frozenset({"keypairs"}),
    strategies={"api": api, "db": db},
)
