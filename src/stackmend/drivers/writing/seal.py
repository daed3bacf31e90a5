# SPDX-License-Identifier: Apache-2.0
"""Seals the secret columns of deleted rows, so that undo can restore the very same bytes (docs/adr/0004).

The journal is the only place outside the table that may hold such a value, and there it is encrypted (Fernet: AES-128
in CBC mode with an HMAC). The key is a separate file, readable only by its owner, and never in the journal.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from stackmend.model.errors import JournalError
from stackmend.model.plan import from_json, to_json
from stackmend.model.step import Value


class Sealer:
    """Seals and unseals rows with the key in a file, which is created on first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fernet: Fernet | None = None

    def seal(self, row: Mapping[str, Value]) -> str:
        """The columns and values as one opaque text."""
        return self._key(create=True).encrypt(to_json(dict(row)).encode()).decode("ascii")

    def unseal(self, sealed: str) -> dict[str, Value]:
        """The inverse of :meth:`seal`; JournalError if the key is a different one."""
        try:
            found = from_json(self._key(create=False).decrypt(sealed.encode("ascii")))
        except InvalidToken:
            raise JournalError(
                f"the sealed columns in the journal do not match the key {self._path}",
                "Restore the key file that was next to the journal during the run.",
            ) from None
        return dict(found)

    def _key(self, *, create: bool) -> Fernet:
        if self._fernet is None:
            self._fernet = Fernet(self._make() if create and not self._path.exists() else self._read())
        return self._fernet

    def _make(self) -> bytes:
        key = Fernet.generate_key()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return self._read()
        except OSError as problem:
            raise self._refused(problem) from None
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(key)
                stream.flush()
                os.fsync(stream.fileno())
            self._keep_name()
        except OSError as problem:
            self._path.unlink(missing_ok=True)  # half a key would be in the way of every later run
            raise self._refused(problem) from None
        return key

    def _keep_name(self) -> None:
        """The file would still be there after a power failure, but perhaps not its name."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> bytes:
        try:
            mode = self._path.stat().st_mode
            key = self._path.read_bytes().strip()
        except OSError as problem:
            raise self._refused(problem) from None
        if stat.S_IMODE(mode) & 0o077:
            raise JournalError(
                f"the key {self._path} is readable by others",
                f"Run 'chmod 600 {self._path}' and find out who may have read it.",
            )
        try:
            Fernet(key)
        except ValueError:
            raise JournalError(
                f"the key {self._path} is damaged", "Restore the key file that was next to the journal."
            ) from None
        return key

    def _refused(self, problem: OSError) -> JournalError:
        return JournalError(
            f"the key {self._path} cannot be read or created: {problem.strerror}",
            "It seals secret columns of deleted rows; nothing is deleted or restored without it.",
        )
