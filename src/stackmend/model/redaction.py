# SPDX-License-Identifier: Apache-2.0
"""The last safety net against printing a secret; do not rely on it. Every line and every command passes through it.

It recognises a secret by its name, however the two are written: URL, JSON, ini file, argument, header, the ``repr`` of
Python, XML. In doubt it hides more: what is hidden can be looked up, what was printed cannot be taken back. The names
are those of ``oslo_utils.strutils.mask_password``, and more (docs/adr/0043).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"

#: parts of a name that mark it as the name of a secret
_PARTS = (
    r"pass(?:word|wd|phrase)(?!authentication)", r"(?<![a-z])pass(?![a-z])",
    r"(?:admin|user|new|auth|db|root)[-_]?pass(?![a-z])", "pwd", "pswd", "secret", "token",
    "credential", "cookie", "authorization",
    r"(?:api|access|private|encrypt(?:ed|ion)|fernet|ssl|ssh|auth|admin|client|rgw|mds|cephmon|rndc|heartbeat)[-_]?key",
    "configdrive", "hashsuffix", "cryptokek", "clusterfsid",
)  # fmt: skip
_PART = "|".join(_PARTS)
_NAME = re.compile(_PART, re.IGNORECASE)
_REST = r"[\w.-]{0,24}"
#: password=  "password":  password =>  noting how it is written: closed by a quote, with a blank before the sign
_ASSIGNED = re.compile(
    rf"(?P<part>{_PART}){_REST}(?P<close>\\*[\"'])?(?P<blank>[ \t]{{0,9}})(?:=>|:=|==|[=:])[ \t]{{0,9}}", re.IGNORECASE
)
#: --password x, and in a list: '--password', 'x'
_OPTION = re.compile(
    rf"(?:(?<=^)|(?<=[\s\"'(\[]))-{{1,2}}[\w-]{{0,40}}(?:{_PART})[\w-]{{0,24}}(?:[\"'],)?[ \t]{{1,9}}(?![=:])",
    re.IGNORECASE | re.MULTILINE,
)
_USER = re.compile(r"://[^\s:/?#]{0,255}:")
_PEM = re.compile(
    r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
_XML = re.compile(rf"(?P<head><[\w:.-]{{0,40}}(?:{_PART})[\w.-]{{0,24}}>)[^<]*(?=</)", re.IGNORECASE)
#: a Keystone token by itself
_FERNET = re.compile(r"\bgAAAA[\w-]{20,}={0,2}")
_QUOTED = re.compile(
    r"""[ub]?(?P<quote>["'])(?:(?!(?P=quote))[^\\\n]|\\.)*(?P=quote)(?=[\s,;:)}\]&>]|$)""", re.IGNORECASE
)
#: a quote that does not end, or ends within a word: how much belongs to the value is a guess
_OPENED = re.compile(r"[ub]?\\*[\"']", re.IGNORECASE)
#: up to the quote that ends a word containing the value
_ENDS = {q: re.compile(rf"(?P<value>(?:[^\\\n{q}]|\\.)*){q}(?=[\s,;:)}}\]&>]|$)") for q in ("'", '"')}
_END = re.compile(r"[\s,;)}\]]*?(?:\n|\Z)")
_WORD = re.compile(r"\S+")
_BEFORE = re.compile(r"[\w.-]*\Z")
#: what may precede a name at the beginning of a line in a file
_LINE = re.compile(r"[ \t]*(?:export[ \t]+|set[ \t]+|[-+<>#][ \t]+)?\Z")
#: names whose value extends to the end of the line
_WHOLE_LINE = ("authorization", "cookie")
_CLOSING = ",;)]}"

#: short options of programs that have no long one
_SHORT = {"ipmitool": ("-P",), "sshpass": ("-p",), "curl": ("-u", "--user", "-U", "--proxy-user")}
_ATTACHED = {"mysql": "-p", "mariadb": "-p", "mysqldump": "-p", "mariadb-dump": "-p", "sshpass": "-p", "curl": "-u"}


def tells_secret(name: str) -> bool:
    """Whether a value of that name is treated as secret."""
    return _NAME.search(name) is not None


def redact(text: str) -> str:
    """``text`` with every secret replaced by ``***``; surrounding quotes stay."""
    if "PRIVATE KEY" in text:
        text = _PEM.sub(rf"\1{MASK}", text)
    if "://" in text and "@" in text:
        text = _WORD.sub(_without_password, text)
    text = _FERNET.sub(MASK, text)
    if not _NAME.search(text):
        return text
    text = _XML.sub(rf"\g<head>{MASK}", text)
    return _hidden(_hidden(text, _ASSIGNED), _OPTION)


def redact_arguments(argv: Sequence[str]) -> list[str]:
    """The words of a command with secrets as ``***``; a word is hidden as a whole if the one before names a secret."""
    program = argv[0].rpartition("/")[2] if argv else ""
    short, attached = _SHORT.get(program, ("-P",)), _ATTACHED.get(program)
    words, hide = [], False
    for number, word in enumerate(argv):
        if hide:
            words.append(MASK)
            hide = False
            continue
        option = number > 0 and word.startswith("-") and not re.search(r"[=:\s]", word)
        hide = option and (word in short or tells_secret(word))
        if attached and number > 0 and word.startswith(attached) and len(word) > 2 and not hide:
            words.append(f"{attached}{MASK}")
        else:
            words.append(_redacted_word(word))
    return words


def _without_password(word: re.Match[str]) -> str:
    """Hide the password of a URL up to the last @ of the word: passwords and lists of hosts may contain others."""
    text, at = word[0], word[0].rfind("@")
    user = _USER.search(text, 0, max(at, 0))
    return f"{text[: user.end()]}{MASK}{text[at:]}" if user else text


def _redacted_word(word: str) -> str:
    """Redact one argument: in an assignment everything after the sign is the value."""
    whole = re.match(r"-*[\w.-]+[=:]", word)
    if whole and tells_secret(whole[0]) and len(word) > whole.end():
        return whole[0] + MASK
    return redact(word)


def _hidden(text: str, names: re.Pattern[str]) -> str:
    """``text`` without the value that follows each of these names."""
    parts, at = [], 0
    while found := names.search(text, at):
        end, mask = _value(text, found)
        parts += [text[at : found.end()], mask]
        at = end
    return "".join([*parts, text[at:]])


def _value(text: str, found: re.Match[str]) -> tuple[int, str]:
    """Where the value after a name ends, and its replacement."""
    begin, line = found.end(), text.find("\n", found.end())
    line = len(text) if line < 0 else line
    quoted = _QUOTED.match(text, begin)
    if found.re is _ASSIGNED and not found["close"]:
        front = _front(text, found.start())
        if quote := front[-1:] if front[-1:] in ("'", '"') else "":  # around name and value: 'password=x y'
            end = _ENDS[quote].match(text, begin)
            return (end.end("value") if end else line), MASK
        whole = found["part"].lower() in _WHOLE_LINE or found["blank"] or _LINE.fullmatch(front.rpartition("\n")[2])
        if whole and not (quoted and _END.match(text, quoted.end())):
            return line, MASK if text[begin:line].strip() else ""
    if quoted:
        quote = quoted["quote"]
        return quoted.end(), f"{text[begin : quoted.start('quote')]}{quote}{MASK}{quote}"
    if _OPENED.match(text, begin):
        return line, MASK
    word = _WORD.match(text, begin)
    if word is None:
        return begin, ""
    return begin + (len(word[0].rstrip(_CLOSING)) or len(word[0])), MASK


def _front(text: str, name: int) -> str:
    """The text before the word that a name is part of, as far as it matters."""
    before = text[max(0, name - 100) : name]
    return before[: len(before) - len(_BEFORE.search(before)[0])]  # type: ignore[index]  # matches always
