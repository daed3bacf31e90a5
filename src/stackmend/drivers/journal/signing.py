# SPDX-License-Identifier: Apache-2.0
"""Signs plan files and identifies the signer (Ed25519; docs/adr/0022): reading a plan does not allow making one.

A key is two files: ``plan-key.pem``, which signs and is private, and ``plan-key.pub`` for those who apply plans.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from stackmend.model import files
from stackmend.model.errors import ConfigError, PlanFileError, UsageError

#: a key file is small
_LARGEST = 64 * 1024
#: prefix of the signed data, so that a signature is valid only for a plan
_ABOUT = b"stackmend plan\n"


def make(private: Path) -> str:
    """Create a key: this file, and a ``.pub`` file next to it. Returns its name; UsageError if one exists."""
    if not private.name:
        raise UsageError(f"{private} is not a valid file name", "Choose another path with --out.")
    public = private.with_suffix(".pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError(f"{path} already exists", "Plans it signed would no longer be trusted: move it first.")
    key = Ed25519PrivateKey.generate()
    try:
        private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
        files.write(public, _pem(key.public_key()), 0o644)
    except (OSError, files.Refused) as problem:
        what = problem if isinstance(problem, files.Refused) else f"cannot be created: {files.why(problem)}"
        raise UsageError(f"the key {private} {what}", "Choose another path with --out.") from None
    return _name(key.public_key())


def signer(path: Path) -> Signer:
    """A signer with the key in a file; ConfigError if it cannot be used."""
    try:
        mode = path.stat().st_mode
        key = load_pem_private_key(files.read(path, _LARGEST), None)
    except (OSError, files.Refused, ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(
            f"the key {path} cannot be read, or is not a key", "Create one with 'stackmend config key'."
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"the key {path} is not an Ed25519 key", "Create one with 'stackmend config key'.")
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"the key {path} is readable by others", f"Run 'chmod 600 {path}', or create another key.")
    return Signer(key)


class Signer:
    """Signs with one key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.name = _name(key.public_key())

    def __call__(self, plan: bytes) -> Mapping[str, str]:
        """The signature in the form of a plan file."""
        value = self._key.sign(_ABOUT + plan)
        return {"key": self.name, "value": base64.b64encode(value).decode("ascii")}


def signed_by(plan: bytes, signature: Mapping[str, str], trusted: Iterable[Path], file: str) -> str:
    """Name of the trusted key that signed; "" without a signature by a trusted key.

    PlanFileError if the file claims a trusted key whose signature does not match.
    """
    known = {_name(key): key for key in map(_public, trusted)}
    name, value = str(signature.get("key", "")), str(signature.get("value", ""))
    if name not in known:
        return ""
    try:
        known[name].verify(base64.b64decode(value, validate=True), _ABOUT + plan)
    except (InvalidSignature, ValueError):
        raise PlanFileError(
            f"the signature of {file} was not made by key {name}",
            "The file was changed after it was signed, or signed by somebody else: do not apply it.",
        ) from None
    return name


def _public(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(files.read(path, _LARGEST))
    except (files.Refused, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"the key {path} cannot be read, or is not a public Ed25519 key", "See [plans] trusted.")
    return key


def _name(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
