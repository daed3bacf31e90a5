# SPDX-License-Identifier: Apache-2.0
"""``disk``: the disks of one server, read with its owner's approval and never written."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from codecs import getincrementaldecoder
from pathlib import Path
from typing import TYPE_CHECKING

from stackmend.cli.base import TEXT, Command, Printing
from stackmend.cli.options import add_object, positive
from stackmend.cli.request import Working
from stackmend.model.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stackmend.model.plan import Plan

#: how a disk may be reached
METHODS = ("auto", "copy", "snapshot", "offline", "rescue", "live")


def _server(parser: argparse.ArgumentParser) -> None:
    add_object(parser, "server", "server", help="the server, by name or id")


def _place(parser: argparse.ArgumentParser, *, path: bool = True) -> None:
    """Which part of which disk."""
    _server(parser)
    if path:
        parser.add_argument("path", help="path on the guest; names as 'disk ls' prints them")
    parser.add_argument(
        "--disk",
        default="root",
        metavar="NAME",
        help="root, ephemeral, swap or config, as 'disk show' lists them (default: root)",
    )
    parser.add_argument(
        "--volume", default="", metavar="NAME", help="partition or logical volume (default: the one with the system)"
    )


class DiskInspect(Working):
    """Make the disks of a server ready to be read: approval recorded, server locked, and what the method takes.

    The approval is recorded in the journal and in Nova, as the reason of the lock. Nothing of a disk is ever changed:
    journals of file systems are replayed in a copy. 'disk release' ends it, with the server as it was before.

    Methods, of which the first that can be done is chosen (auto):
    copy: the guest runs and goes on; libvirt makes a copy of the moment for each command that reads.
    snapshot: Cinder makes a copy of a volume, which is attached read-only to a server of yours (--helper).
    offline: the server is stopped if it runs, and started again by 'disk release'.
    rescue: Nova boots --image with the disk beside it; you log in and read it there. That system can write to it.
    live: only by name, with --consent live: the disk is read while its guest writes to it: torn.

    Local disks are read where they are files (qcow2, raw), volumes where they are a device or a file on the host of the
    helper. What is in RBD is read in the helper, or in a rescue.

    Reading takes these Debian packages on this machine: nbdkit libnbd-bin fuse3 e2fsprogs xfsprogs lvm2 fdisk mtools
    libarchive-tools; for XFS with a dirty log also guestfish and a kernel (libguestfs replays it, in a copy); and on
    the host qemu-utils and python3, for a copy virsh (libvirt-clients) too.
    """

    workflow = "inspect-disk"
    parallel = 1
    methods: frozenset[str] = frozenset()  #: those of the plan
    examples = """
  $ stackmend disk inspect web-1 --approved-by 'Ann Owner' --ticket CHG-1234
  $ stackmend disk inspect web-1 --approved-by 'Ann Owner' --ticket CHG-1234 --yes --accept inspect-disk
  $ stackmend disk inspect web-1 --approved-by 'Ann Owner' --ticket CHG-1234 --method rescue --image rescue-12
  $ stackmend disk inspect db-1 --approved-by 'Ann Owner' --ticket CHG-1234 --method snapshot --helper reader-1"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        _server(parser)
        parser.add_argument(
            "--approved-by", required=True, metavar="WHO", help="who approved, for the owner of the data"
        )
        parser.add_argument("--ticket", required=True, metavar="T", help="where the approval can be looked up")
        parser.add_argument(
            "--method", choices=METHODS, default="auto", help="how to reach the disks (default: the gentlest there is)"
        )
        add_object(parser, "server", "--helper", metavar="SERVER", help="what a copy of a volume is attached to")
        add_object(parser, "volume", "--of", metavar="VOLUME", help="which volume is copied (default: the only one)")
        add_object(parser, "image", "--image", metavar="IMAGE", help="what a rescue boots")
        parser.add_argument(
            "--consent", choices=("live",), help="agree by name to a method by which what is read may be torn"
        )
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server, who approved, and how."""
        names = ("server", "approved_by", "ticket", "method", "helper", "of", "image", "consent")
        return {name: getattr(parsed_args, name) for name in names if getattr(parsed_args, name) is not None}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """As it would be typed again."""
        approval = ["--approved-by", parsed_args.approved_by, "--ticket", parsed_args.ticket]
        method = ["--method", parsed_args.method] if parsed_args.method != "auto" else []
        given = [
            word
            for name in ("helper", "of", "image", "consent")
            if (value := getattr(parsed_args, name)) is not None
            for word in (f"--{name}", value)
        ]
        return [parsed_args.server, *approval, *method, *given]

    def make(self, parsed_args: argparse.Namespace) -> Plan:
        """The plan; the methods it chose are kept for what is said at the end."""
        plan = super().make(parsed_args)
        self.methods = frozenset(str(action.target.get("method")) for action in plan.actions)
        return plan

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Plan or begin it; then say how the disks are read, and how it is ended."""
        code = super().take_action(parsed_args)
        if code == Exit.REPAIRED:
            server = parsed_args.server
            # whatever was asked for: what is read in a rescue is read by who logs in there
            words = ("release",) if "rescue" in self.methods else ("show", "log", "release")
            self.notes.next(*(self.typed("disk", word, server) for word in words))
        return code


class DiskRelease(Working):
    """End the inspection of a server's disks: the server is as it was before, and unlocked.

    What is to be done is read from Nova, so this also works where the inspection was cut off, and without its journal.
    """

    workflow = "release-disk"
    parallel = 1
    examples = """
  $ stackmend disk release web-1 --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        _server(parser)
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server."""
        return {"server": parsed_args.server}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server."""
        return [parsed_args.server]


class DiskList(Printing):
    """List the servers under inspection, in all of the cloud: begun by 'disk inspect', and not released.

    Exit code 3 where there are any: each one is a server that its owner can neither start, stop nor move.
    """

    examples = """
  $ stackmend disk list"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.app.objects import inspection
        from stackmend.report.objects import inspection as shown

        found = inspection.begun(self.config())
        self.show(shown.inspections(found), parsed_args)
        return int(Exit.FINDINGS if found else Exit.CLEAN)


class DiskShow(Printing):
    """Show the disks of a server under inspection: partitions, logical volumes, file systems, systems.

    Of each file system it says how new it is: "clean", "replayed in a copy", or "not replayed: older than the crash";
    and whether it is torn.
    Exit code 7 where a disk cannot be read.
    """

    examples = """
  $ stackmend disk show web-1
  $ stackmend disk show web-1 -f json"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        _server(parser)
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        from stackmend.app.objects import inspection
        from stackmend.report.objects import inspection as shown

        found = inspection.show(self.config(), parsed_args.server)
        self.show(shown.disks(found), parsed_args)
        return int(Exit.INCOMPLETE if any(one.problem for one in found) else Exit.CLEAN)


class DiskLs(Printing):
    """List a directory of a server under inspection.

    Names of the guest are printed escaped: what is not printable as \\xNN. They can be typed again as they are printed.
    """

    examples = """
  $ stackmend disk ls web-1 /var/log
  $ stackmend disk ls web-1 / --disk config
  $ stackmend disk ls web-1 /grub --volume p1 -f json"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        _place(parser)
        parser.add_argument(
            "--most", type=positive, default=10_000, metavar="N", help="entries to show at most (default: 10000)"
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        from stackmend.app.objects import inspection
        from stackmend.report.objects import inspection as shown

        with inspection.opened(self.config(), parsed_args.server, parsed_args.disk) as disk:
            at, entries, more, volume = disk.entries(parsed_args.path, volume=parsed_args.volume, most=parsed_args.most)
        self.show(shown.directory(parsed_args.path, volume, at, entries, more), parsed_args)
        return int(Exit.CLEAN)


class _Reading(Command):
    """Base of the commands that print what a guest has written."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it: as it is into a file or a pipe, escaped on a terminal, which would do what it is told."""
        from stackmend.report.clean import printable

        text = None if not self.stdout.isatty() else getincrementaldecoder("utf-8")("replace")
        for some in self.content(parsed_args):
            if text is None:
                self.stdout.buffer.write(some)
            else:
                self.stdout.write(printable(text.decode(some), keep="\n\t"))
        self.stdout.flush()
        return int(Exit.CLEAN)

    @abstractmethod
    def content(self, parsed_args: argparse.Namespace) -> Iterable[bytes]:
        """What is printed."""


class DiskCat(_Reading):
    """Print a file of a server under inspection: as it is into a file or a pipe, escaped on a terminal.

    A line on stderr says how new it is.
    """

    examples = """
  $ stackmend disk cat web-1 /etc/fstab
  $ stackmend disk cat web-1 /openstack/latest/meta_data.json --disk config > meta_data.json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        _place(parser)

    def content(self, parsed_args: argparse.Namespace) -> Iterable[bytes]:
        """The file."""
        from stackmend.app.objects import inspection
        from stackmend.report.objects import inspection as shown

        with inspection.opened(self.config(), parsed_args.server, parsed_args.disk) as disk:
            _, _, _, volume = disk.entries(parsed_args.path, volume=parsed_args.volume, most=1)
            self.notes.say(shown.how_new(volume))
            yield from disk.read(parsed_args.path, volume=parsed_args.volume)


class DiskLog(_Reading):
    """Print the last lines of the logs of a server under inspection: of the kernel, of syslog, of cloud-init.

    Logs that are known by name are shown, those that are there. A guest that logs to journald alone has
    /var/log/journal: copy it out, and read it by 'journalctl --directory'.
    """

    examples = """
  $ stackmend disk log web-1
  $ stackmend disk log web-1 --lines 200"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        _place(parser, path=False)
        parser.add_argument("--lines", type=positive, default=50, metavar="N", help="lines of each (default: 50)")

    def content(self, parsed_args: argparse.Namespace) -> Iterable[bytes]:
        """The ends of the logs."""
        from stackmend.app.objects import inspection
        from stackmend.report.objects import inspection as shown

        said = ""
        where = (parsed_args.server, parsed_args.disk, parsed_args.volume, parsed_args.lines)
        for path, volume, lines in inspection.log(self.config(), *where):
            if said != (said := shown.how_new(volume)):
                self.notes.say(said)
            yield f"==> {path} <==\n".encode() + b"\n".join([*lines, b"", b""])


class DiskCopyOut(Command):
    """Copy a file or a directory out of a server under inspection, into a file or folder that is not there yet.

    All become plain files of yours, mode 600, named as 'disk ls' prints them. Links, devices, pipes and sockets are
    named and left out. Exit code 5 where a limit ended it, 7 where something could not be read.
    """

    examples = """
  $ stackmend disk copy-out web-1 /var/log ./web-1-log
  $ stackmend disk copy-out web-1 /var/lib/mysql ./mysql --max-bytes 20000000000"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        _place(parser)
        parser.add_argument("target", metavar="TARGET", help="where to: a name that is not taken")
        parser.add_argument(
            "--max-bytes", type=int, default=1 << 30, metavar="N", help="stop before more than this (default: 1 GiB)"
        )
        parser.add_argument(
            "--max-files",
            type=positive,
            default=10_000,
            metavar="N",
            help="stop before more than this (default: 10000)",
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Copy it, and say what was left out."""
        from stackmend.app.objects import inspection
        from stackmend.report.objects import inspection as shown
        from stackmend.report.words import count, size

        with inspection.opened(self.config(), parsed_args.server, parsed_args.disk) as disk:
            _, _, _, volume = disk.entries(parsed_args.path, volume=parsed_args.volume, most=1)
            self.notes.say(shown.how_new(volume))
            done = inspection.copy_out(
                disk,
                parsed_args.path,
                Path(parsed_args.target),
                volume=parsed_args.volume,
                most=parsed_args.max_bytes,
                files=parsed_args.max_files,
            )
        for line in done.left:
            self.notes.say(f"left out: {line}")
        for line in done.unread:
            self.notes.warn(f"not read: {line}")
        self.notes.say(f"copied {count(done.files, 'file')}, {size(done.size)}")
        if done.cut:
            self.notes.fail(f"ended before its end: {done.cut}", "See --max-bytes and --max-files.")
            return int(Exit.STOPPED)
        return int(Exit.INCOMPLETE if done.unread else Exit.CLEAN)


COMMANDS = {
    "disk cat": DiskCat,
    "disk copy-out": DiskCopyOut,
    "disk inspect": DiskInspect,
    "disk list": DiskList,
    "disk log": DiskLog,
    "disk ls": DiskLs,
    "disk release": DiskRelease,
    "disk show": DiskShow,
}
