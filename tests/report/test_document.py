# SPDX-License-Identifier: Apache-2.0
"""Documents in every format."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from types import SimpleNamespace

import pytest
import yaml

from stackmend.cli.base import TEXT, Printing
from stackmend.model.errors import UsageError
from stackmend.report.clean import printable
from stackmend.report.document import Document

DATA = [
    {"name": "a", "resource": {"type": "server", "id": "1"}, "n": 1, "on": True, "none": None},
    {"name": "b\x1b[2J", "resource": {"type": "volume", "id": "2"}, "n": 20, "on": False, "none": None},
]
COLUMNS = (("Name", "name"), ("Resource", "resource"), ("N", "n"))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


class Shown(Printing):
    """A command that prints one document."""

    default_format = TEXT

    def take_action(self, parsed_args):
        """Nothing to do."""


def written(form, *only, document=None, stream=None, options=(), color=True):
    """What is written."""
    out = stream or io.StringIO()
    app = SimpleNamespace(NAME="stackmend", stdout=out, stderr=out)
    command = Shown(app, Namespace(no_color=not color))
    columns = [word for name in only for word in ("-c", name)]
    asked = command.get_parser("shown").parse_args(["-f", form, *columns, *options])
    command.show(document or Document(data=DATA, columns=COLUMNS), asked)
    return out.getvalue()


def test_json_is_the_whole_document():
    """JSON has every field, not just the columns of the table."""
    assert json.loads(written("json")) == DATA


def test_json_of_nothing_is_an_empty_array():
    """A script always gets a document."""
    assert json.loads(written("json", document=Document(data=[], columns=COLUMNS))) == []


def test_yaml_is_the_same_document():
    """YAML and JSON say the same."""
    assert yaml.safe_load(written("yaml")) == DATA


def test_columns_narrow_json():
    """`-c` selects by path or heading, in the order asked for, and may go deeper."""
    assert json.loads(written("json", "resource.id", "Name")) == [
        {"resource.id": "1", "name": "a"},
        {"resource.id": "2", "name": DATA[1]["name"]},
    ]


def test_value_is_one_line_a_record():
    """The value format separates cells by a blank and escapes control characters."""
    assert written("value", "name", "on", "none") == "a yes \nb\\x1b[2J no \n"


def test_csv_has_a_header_of_paths():
    """CSV can be read back, in the dialect of cliff."""
    rows = list(csv.reader(io.StringIO(written("csv")), escapechar="\\"))
    assert rows == [["name", "resource", "n"], ["a", "server 1", "1"], ["b\\x1b[2J", "volume 2", "20"]]


def test_a_table_in_a_pipe_keeps_each_record_on_a_line():
    """The look of openstackclient, and no wrapping."""
    assert written("table").splitlines() == [
        "+----------+----------+----+",
        "| Name     | Resource |  N |",
        "+----------+----------+----+",
        "| a        | server 1 |  1 |",
        "| b\\x1b[2J | volume 2 | 20 |",
        "+----------+----------+----+",
    ]


def test_a_table_counts_wide_letters_twice():
    """Columns stay straight with names in any script."""
    document = Document(data=[{"name": "漢字"}, {"name": "abcd"}], columns=(("N", "name"),))
    assert written("table", document=document).splitlines()[3:5] == ["| 漢字 |", "| abcd |"]


def test_a_table_of_nothing_is_nothing():
    """No empty frame."""
    assert written("table", document=Document(data=[], columns=COLUMNS)) == ""


def test_a_table_fits_the_terminal(monkeypatch):
    """On a terminal prose is wrapped to its width and identifiers stay whole."""
    monkeypatch.setenv("COLUMNS", "70")
    record = {"id": "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55", "message": "word " * 30}
    document = Document(data=[record], columns=(("ID", "id"), ("Message", "message")))
    lines = written("table", document=document, stream=Terminal(), color=False).splitlines()
    assert max(map(len, lines)) <= 70
    assert any(record["id"] in line for line in lines)


@pytest.mark.parametrize(("color", "expected"), [(True, True), (False, False)])
def test_colours_can_be_switched_off(monkeypatch, color, expected):
    """Colours appear on a terminal only if wanted."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    document = Document(data=[{"severity": "error"}], columns=(("Severity", "severity"),))
    assert ("\x1b[1;31m" in written("table", document=document, stream=Terminal(), color=color)) is expected


def test_text_replaces_the_table():
    """Prose is printed where a table serves nobody, but columns still select."""
    document = Document(data={"a": 1}, text="one\ntwo")
    assert written("text", document=document) == "one\ntwo\n"
    assert written("text", "a", document=document).splitlines()[1:4:2] == ["| a |", "| 1 |"]
    assert written("value", "a", document=document) == "1\n"


def test_one_object_has_a_line_a_field():
    """As ``openstack ... show``: a table of fields, one value a line."""
    document = Document(data={"name": "a", "n": 1}, columns=(("Name", "name"), ("N", "n")), text="prose")
    assert written("table", document=document).splitlines()[3:5] == ["| Name  | a     |", "| N     | 1     |"]
    assert written("value", document=document) == "a\n1\n"
    assert json.loads(written("json", document=document)) == document.data


def test_records_are_sorted_by_what_is_shown_or_not():
    """A column to sort by need not be one that is printed; numbers are sorted as numbers."""
    data = [{"name": name, "n": n} for name, n in (("b", 9), ("a", 10), ("c", None))]
    document = Document(data=data, columns=(("Name", "name"), ("Number", "n")))
    assert written("value", "name", document=document, options=("--sort-column", "Number")).split() == ["b", "a", "c"]
    down = ("--sort-column", "n", "--sort-descending")
    assert written("value", "name", document=document, options=down).split() == ["c", "a", "b"]


def test_an_unknown_column_is_refused_with_the_known_ones():
    """A misspelt column is an error, not an empty one."""
    with pytest.raises(UsageError, match="there is no column 'nme'") as caught:
        written("value", "nme")
    assert "name, resource, n" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ünï 漢", "plain ünï 漢"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("a\u202eb", "a\\u202eb"),
        ("a\nb", "a\\nb"),
    ],
)
def test_control_characters_are_escaped(text, expected):
    """Escape sequences and direction marks become visible; other letters stay."""
    assert printable(text) == expected


def test_a_line_feed_is_kept_where_it_is_wanted():
    """Text of several lines stays that."""
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"


@pytest.mark.attack("names with characters that turn a terminal's text around, in every format")
def test_yaml_escapes_what_a_terminal_would_obey():
    """Control and formatting characters of values and keys are escapes, and the document is the same."""
    data = {
        "a": "x\u202ey",
        "b": "two\nlines ü",
        "c": "\x1b[31m",
        "d": ["\u2028", 1, None, "\t"],
        "k\u2066": "\U000e0001",
    }
    text = written("yaml", document=Document(data=data))
    assert printable(text, keep="\n") == text
    assert yaml.safe_load(text) == data


@pytest.mark.attack("one value of megabytes in a table")
def test_a_huge_cell_does_not_make_a_huge_table():
    """A table shows its beginning and says how long it is; the document has all of it."""
    rows = [{"name": "n", "text": "x" * 1_000_000}, {"name": "m", "text": "y"}]
    document = Document(data=rows, columns=(("Name", "name"), ("Text", "text")))
    text = written("table", document=document)
    assert len(text) < 10_000
    assert "1,000,000 characters" in text
    assert json.loads(written("json", document=document)) == rows
