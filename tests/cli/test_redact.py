# SPDX-License-Identifier: Apache-2.0
"""The last net against printing a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackmend.cli.redact import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mysql+pymysql://u:p@h/d", "mysql+pymysql://u:***@h/d"),
        ("two mysql://a:b@c/d and rabbit://e:f@g", "two mysql://a:***@c/d and rabbit://e:***@g"),
        ("mysql://u:p@ss@h/d", "mysql://u:***@h/d"),
        ("mysql://:p@h/d", "mysql://:***@h/d"),
        ("password = 'a b' and more", "password = *** and more"),
        ("{'passwd': 'x', 'host': 'y'}", "{'passwd': ***, 'host': 'y'}"),
        ("http://example.com:8774/v2.1", "http://example.com:8774/v2.1"),
        ("at 10:30 mail a@b.c", "at 10:30 mail a@b.c"),
    ],
)
def test_passwords_go_and_the_rest_stays(text, expected):
    """URLs with a password and assignments lose it, nothing else is touched."""
    assert redact(text) == expected


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\"\\"), min_size=1))
def test_no_password_of_a_url_survives(password):
    """Whatever letters a password has, it does not come through."""
    secret = f"SECRET{password}SECRET"
    assert "SECRET" not in redact(f"cannot connect to mysql://reader:{secret}@db.example.com/nova: refused")
