# SPDX-License-Identifier: Apache-2.0
"""No form in which a secret goes with its name lets it through, and what is none stays readable."""

from __future__ import annotations

import ast
import json
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stackmend.drivers.hosts.words import last_line, named
from stackmend.model.redaction import redact, redact_arguments, tells_secret

ROOT = Path(__file__).parents[2]
#: written the same in every form, and in nothing else
MARK = "ZQ7ZQ8ZQ9"
#: what forms are made of
SIGNS = st.sampled_from(list("'\"\\=:,;)}]>@&<-/#%$`u*"))
#: of one line; of one word; anything
LINES = st.text(SIGNS | st.just(" ") | st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=12)
WORDS = st.text(SIGNS | st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), max_size=12)
ANY = st.text(SIGNS | st.sampled_from(list(" \n\t\r\0")) | st.characters(exclude_categories=("Cs",)), max_size=12)
NAMES = st.sampled_from(
    ["password", "OS_PASSWORD", "adminPass", "admin_pass", "db_pass", "memcache_secret_key", "auth_token", "secret",
     "rabbit_password", "metadata_proxy_shared_secret", "X-Auth-Token", "x-subject-token", "passphrase", "api-key",
     "private_key", "encrypted_key", "fernet_key", "auth_encryption_key", "application_credential_secret", "token",
     "rabbitcookie", "swifthashsuffix", "sys_pswd", "original_password", "password2", "clientSecret"]
)  # fmt: skip


def hidden(secret: str) -> str:
    """A secret with something in it that can be told from everything else, twice."""
    third = len(secret) // 3
    return f"{secret[:third]}{MARK}{secret[third : -third or None]}{MARK}{secret[-third:] if third else ''}"


#: every form in which a value of one line is written with its name
FORMS: dict[str, Callable[[str, str], str]] = {
    "JSON": lambda n, s: json.dumps({"a": "b", n: s, "user": "u"}),
    "JSON, compact": lambda n, s: json.dumps({"a": {n: s}, "user": "u"}, separators=(",", ":"), ensure_ascii=False),
    "JSON, indented": lambda n, s: json.dumps({"a": {n: s}, "user": "u"}, indent=2, ensure_ascii=False),
    "JSON in JSON": lambda n, s: json.dumps({"body": json.dumps({n: s}, ensure_ascii=False)}, ensure_ascii=False),
    "TOML": lambda n, s: f"[reader]\n{n} = {json.dumps(s, ensure_ascii=False)}\nuser = 1\n",
    "YAML": lambda n, s: yaml.safe_dump({"auth": {n: s}, "user": "u"}, width=10**6, allow_unicode=True),
    "YAML, in a list": lambda n, s: yaml.safe_dump([{n: s, "z": 1}], width=10**6, allow_unicode=True),
    "ini": lambda n, s: f"[database]\n{n} = {s}\nuser = u\n",
    "ini, dense": lambda n, s: f"[database]\n{n}={s}\nuser=u\n",
    "ini, a line of it in an error": lambda n, s: f"nova.conf:3: {n} = {s}",
    "header": lambda n, s: f"GET /v3 HTTP/1.1\r\n{n}: {s}\r\nAccept: */*",
    "header of curl": lambda n, s: f"curl -g -i -X GET http://h:5000/v3 -H {shlex.quote(f'{n}: {s}')} -H 'Accept: x'",
    "headers as a dict": lambda n, s: f"REQ: { ({n: s, 'Accept': '*/*'})!r}",
    "authorization": lambda _, s: f"Authorization: Basic {s}\nAccept: */*",
    "argument": lambda n, s: shlex.join(["client", f"--{n}", s, "--os-user", "u"]),
    "argument with =": lambda n, s: shlex.join(["client", f"--{n}={s}", "--os-user", "u"]),
    "variable": lambda n, s: f"{n}={shlex.quote(s)} openstack server list",
    "exported": lambda n, s: f"export {n}={shlex.quote(s)}",
    "arguments as a list": lambda n, s: f"Command: {['client', f'--{n}', s, '--verbose']!r} ended with 1",
    "arguments as a list with =": lambda n, s: f"Command: {['client', f'--{n}={s}', '--verbose']!r} ended with 1",
    "repr": lambda n, s: f"{ ({'a': 1, n: s, 'user': 'u'})!r}",
    "repr of bytes": lambda n, s: f"{ ({n: s.encode()})!r}",
    "repr of a dataclass": lambda n, s: f"Account(user='u', {re.sub('[^a-z]', '_', n)}_token={s!r}, host='h')",
    "XML": lambda n, s: f"<auth><{n}>{escape(s)}</{n}><user>u</user></auth>",
    "query": lambda n, s: f"GET http://h/v3?{urlencode({'user': 'u', n: s})} HTTP/1.1",
    "form": lambda n, s: urlencode({n: s, "user": "u"}),
    "prose": lambda n, s: f"refused: {n}={quote(s, safe='')}, user=u",
}


@pytest.mark.attack("a secret in every form in which programs print one, with every letter that it may have")
@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None)
@given(name=NAMES, secret=LINES)
def test_no_form_lets_a_secret_of_one_line_through(form: str, name: str, secret: str) -> None:
    """Whatever quotes, blanks, signs and brackets it has."""
    secret = hidden(secret)
    text = FORMS[form](name, secret)
    assert MARK not in redact(text)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize("form", ["JSON", "JSON, compact", "repr", "repr of bytes", "headers as a dict"])
@settings(deadline=None)
@given(name=NAMES, secret=ANY)
def test_no_line_break_helps_it(form: str, name: str, secret: str) -> None:
    """Where a form writes control characters as letters."""
    assert MARK not in redact(FORMS[form](name, hidden(secret)))


@settings(deadline=None)
@given(user=st.from_regex(r"[\w.@%-]{0,12}", fullmatch=True), secret=WORDS, scheme=st.sampled_from(
    ["mysql", "mysql+pymysql", "rabbit", "redis", "https", "postgresql", "amqp"]))  # fmt: skip
def test_no_url_lets_its_password_through(user: str, secret: str, scheme: str) -> None:
    """As it has to be written, and as people write it; behind a name or not; also of several hosts."""
    for written in (quote(hidden(secret), safe=""), hidden(secret)):
        for url in (f"{scheme}://{user}:{written}@db.example.com:3306/nova?charset=utf8",
                    f"{scheme}://{user}:{written}@h1:5672,{user}:{written}@h2:5672/"):  # fmt: skip
            for text in (url, f"cannot connect to {url}: refused", f"connection = {url}", repr({"connection": url})):
                assert MARK not in redact(text)
                assert "refused" in redact(text) or "refused" not in text


@settings(deadline=None)
@given(name=NAMES, secret=ANY)
def test_no_command_shows_its_secret(name: str, secret: str) -> None:
    """As a word of its own, behind a sign, in a variable, in a script of a shell; whatever the word is."""
    secret = hidden(secret)
    url = f"mysql://u:{quote(secret, safe='')}@h/d"
    for argv in (
        ["client", f"--{name}", secret, "x"],
        ["client", f"--{name}={secret}", "x"],
        ["env", f"{name}={secret}", "client"],
        ["ipmitool", "-H", "bmc", "-U", "admin", "-P", secret, "power", "off"],
        ["/usr/bin/mysql", "-uroot", f"-p{secret}", "nova"],
        ["curl", "-u", f"admin:{secret}", "http://h"],
        ["sshpass", f"-p{secret}", "ssh", "h"],
        ["sh", "-c", shlex.join(["client", f"--{name}", secret.replace("\n", "").replace("\r", "")])],
        ["client", url],
    ):
        for shown in (" ".join(redact_arguments(argv)), named(argv)):
            assert MARK not in shown
        assert redact_arguments(argv)[0] == argv[0]


@settings(deadline=None)
@given(name=NAMES, secret=LINES)
def test_what_a_host_prints_last_shows_none(name: str, secret: str) -> None:
    """The line of an error is what stands in notes and in the journal."""
    text = f"starting\n{name} = {hidden(secret)}\n\n".encode()
    assert last_line(text).startswith(name)
    assert MARK not in last_line(text)


def test_secrets_that_have_no_name_are_known() -> None:
    """A private key, whole or cut off, and a token of Keystone."""
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"
    assert redact(f"a {key} b") == "a -----BEGIN RSA PRIVATE KEY-----*** b"
    assert "IBAAKC" not in redact(key[:60])
    assert last_line(key.encode()) == "-----BEGIN RSA PRIVATE KEY-----***"
    assert redact("got gAAAAABn5Zq3vT0kQ8-u_9hXb2bJkR== for u") == "got *** for u"


def test_what_oslo_masks_is_masked() -> None:
    """Every name that ``oslo_utils.strutils.mask_password`` of the newest release knows, in the forms that it knows."""
    from oslo_utils.strutils import _SANITIZE_KEYS

    forms = (
        "{k} = {s}", "{k} = '{s}'", '{k} = "{s}"', "'{k}': '{s}'", '"{k}" : "{s}"', "u'{k}': u'{s}'", "<{k}>{s}</{k}>",
        "'original_{k}': '{s}'", "--{k} {s}", "-- '--{k}', '{s}'", "{K}={s}", "{k}1 = {s}",
    )  # fmt: skip
    written = [form.format(k=key, K=key.upper(), s=MARK) for key in _SANITIZE_KEYS for form in forms]
    assert len(written) > 300
    assert all(MARK in text for text in written)
    assert [text for text in written if MARK in redact(text)] == []
    assert [key for key in _SANITIZE_KEYS if not tells_secret(key)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mysql+pymysql://u:p@h/d", "mysql+pymysql://u:***@h/d"),
        ("two mysql://a:b@c/d and rabbit://e:f@g", "two mysql://a:***@c/d and rabbit://e:***@g"),
        ("mysql://u:p@ss@h/d", "mysql://u:***@h/d"),
        ("mysql://:p@h/d", "mysql://:***@h/d"),
        ("password = 'a b' and more", "password = ***"),
        ("{'passwd': 'x', 'host': 'y'}", "{'passwd': '***', 'host': 'y'}"),
        ('{"token": "x", "host": "y"}', '{"token": "***", "host": "y"}'),
        ("refused (password=abc), as before", "refused (password=***), as before"),
        ("http://example.com:8774/v2.1", "http://example.com:8774/v2.1"),
        ("at 10:30 mail a@b.c", "at 10:30 mail a@b.c"),
        ("wrong password for reader", "wrong password for reader"),
        ("keypair: web, monkey: 3, key=7, compass: north", "keypair: web, monkey: 3, key=7, compass: north"),
        ("password:", "password:"),
        ("", ""),
    ],
)
def test_secrets_go_and_the_rest_stays(text: str, expected: str) -> None:
    """What stands around them can be read, and JSON stays JSON."""
    assert redact(text) == expected


def _texts(path: Path) -> list[str]:
    """Every text of a module that a person may see; what is filled in is X."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(v) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for v in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            found.append(node.value)
    return found


def test_our_own_messages_are_not_touched() -> None:
    """Nothing that the program says of itself looks like a secret."""
    source = ROOT / "src" / "stackmend"
    touched = [
        (name, text, redact(text))
        for path in sorted(source.rglob("*.py"))
        if (name := path.relative_to(source).as_posix()) != "model/redaction.py"
        for text in _texts(path)
        if redact(text) != text.replace("account:password@host", "account:***@host")  # how a URL is written
    ]
    assert touched == []


@pytest.mark.parametrize(
    "text",
    ["token", "a", "password=", "://", "'", "-", "x://a:b", "@://a:", "password='", "'password=", "--token ", "<token>",
     "-----BEGIN PRIVATE KEY-----", ",;)", "gAAAA", "\\'", "=", "password " * 3 + "\n"],
)  # fmt: skip
@pytest.mark.attack("a text made to keep the patterns busy")
def test_no_text_keeps_it_busy(text: str) -> None:
    """Time grows with the length: 200,000 characters take less than two seconds of the processor."""
    begun = time.process_time()
    assert MARK not in redact(text * (200_000 // len(text)) + f" token={MARK}")
    assert time.process_time() - begun < 2
