# SPDX-License-Identifier: Apache-2.0
"""``python -m bench.logs --megabytes N``: compares a diagnosis of large logs with ``grep -F`` and ``zgrep``.

It generates the logs of a busy cloud, with the story of one server in them. The contestants take turns in the same run;
the median of the rounds counts. Sizes are those of the decompressed text. The first round, which fills the page cache,
is left out.
"""

from __future__ import annotations

import gzip
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.measure import parser, printed
from stackmend.drivers.logs.files import Logs
from stackmend.drivers.logs.reader import Window, read
from stackmend.model.diagnosing.logs import Looked

SERVER = "05eef1bb-5356-43d9-86c9-4d9854d4d46b"
REQUEST = "req-2b8d5b1c-9c0e-4f3e-8a55-0d6f6f0f7a11"
PORT = "7f3a1c02-5b7e-4d7e-9a53-20c1f0a7a1b2"
_SERVICES = ("nova-api", "nova-conductor", "nova-scheduler", "nova-compute", "neutron-server", "placement-api")
_PACKED = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured."""

    megabytes: float
    grep: float  #: MB/s of ``grep -F`` with one identifier
    search: float  #: MB/s of stackmend's reader with the same identifier
    zgrep: float
    packed: float  #: the same with gzip files
    several: float  #: MB/s with twelve identifiers
    grep_several: float
    diagnosis: float  #: seconds of the whole command
    memory: float  #: its peak memory in MB


def lines(seed: int, count: int) -> Iterator[str]:
    """The lines of a busy cloud, eight per second; now and then an error with its traceback."""
    chance = random.Random(seed)

    def name() -> str:
        return str(uuid.UUID(int=chance.getrandbits(128)))

    for number in range(count):
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1_795_900_000 + number // 8))
        head = f"{at}.{number % 8 * 125:03d} {chance.randrange(9999)}"
        context = f"[None req-{name()} {name().replace('-', '')} {name().replace('-', '')} - - default default]"
        yield (
            f"{head} INFO nova.compute.manager {context} [instance: {name()}] Took "
            f"{chance.random():.2f} seconds to build.\n"
        )
        if number % 500 == 0:
            yield (
                f"{head} ERROR nova.compute.manager {context} [instance: {name()}] Instance failed "
                f"to spawn: OSError: no\n"
            )
            yield f"{head} ERROR nova.compute.manager Traceback (most recent call last):\n"


def story() -> str:
    """What the host of one server logs about it, in the middle of everything else."""
    head = f"2026-11-29 12:05:00.000 7 {{}} [None {REQUEST} a b - - default default] [instance: {SERVER}] "
    return (
        head.format("INFO nova.compute.claims")
        + "Claim successful on node c01\n"
        + head.format("WARNING nova.virt.libvirt.driver")
        + f"Timeout waiting for [('network-vif-plugged', '{PORT}')] for instance with vm_state building\n"
        + head.format("ERROR nova.compute.manager")
        + (
            "Failed to allocate network(s): nova.exception.VirtualInterfaceCreateException: Virtual "
            "Interface creation failed\n"
        )
    )


def made(folder: Path, megabytes: int) -> int:
    """Write the logs, one file for each service; returns the total number of bytes."""
    block = "".join(lines(1, 40_000)).encode()
    each = max(1, megabytes * 1_000_000 // len(block) // len(_SERVICES))
    for service in _SERVICES:
        path = folder / "c01" / f"{service}.log"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as out:
            for number in range(each):
                out.write(block)
                if service == "nova-compute" and number == each // 2:
                    out.write(story().encode())
    return sum(path.stat().st_size for path in folder.rglob("*.log"))


def searched(folder: Path, words: list[bytes]) -> int:
    """The number of messages that stackmend's reader finds."""
    logs, looked = Logs([str(folder)]), Looked()
    found = sum(1 for file in logs.files for _ in read(file, words, Window(), looked))
    logs.close()
    return found


def timed(work: Callable[[], object]) -> float:
    """Run something; returns the seconds that it took."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _run(*words: str) -> None:
    subprocess.run(words, stdout=subprocess.DEVNULL, check=False, env={**os.environ, "LC_ALL": "C"})


def measured(folder: Path, megabytes: int, rounds: int) -> Result:
    """Measure all contestants in turn."""
    plain, packed = folder / "plain", folder / "packed"
    plain.mkdir()
    size = made(plain, megabytes)
    packed.mkdir()
    sample = packed / "nova-compute.log.1.gz"
    with (plain / "c01" / "nova-compute.log").open("rb") as source, gzip.open(sample, "wb", 6) as out:
        out.write(source.read(_PACKED))
    zipped = min(_PACKED, (plain / "c01" / "nova-compute.log").stat().st_size)
    several = [str(uuid.UUID(int=n + (1 << 120))) for n in range(12)]
    (folder / "words").write_text("\n".join(several) + "\n")
    work: dict[str, Callable[[], object]] = {
        "grep": lambda: _run("grep", "-rF", SERVER, str(plain)),
        "search": lambda: searched(plain, [SERVER.encode()]),
        "zgrep": lambda: _run("zgrep", "-F", SERVER, str(sample)),
        "packed": lambda: searched(packed, [SERVER.encode()]),
        "grep_several": lambda: _run("grep", "-rF", "-f", str(folder / "words"), str(plain)),
        "several": lambda: searched(plain, [word.encode() for word in several]),
    }
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, do in work.items():
            seconds = timed(do)
            if turn:
                taken[name].append(seconds)
    speed = {
        name: (zipped if name in ("zgrep", "packed") else size) / 1e6 / median(seconds)
        for name, seconds in taken.items()
    }
    command = [sys.executable, "-m", "stackmend", "diagnose", "server", SERVER, "--offline", "--logs", str(plain)]
    diagnosis = timed(lambda: _run(*command))
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    return Result(size / 1e6, diagnosis=diagnosis, memory=memory, **speed)


def main() -> None:
    """Write the logs, measure and print."""
    options_of = parser("bench.logs", __doc__, rounds=3)
    options_of.add_argument("--megabytes", type=int, default=600, metavar="N")
    options = options_of.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackmend-logs-", dir=options.folder) as name:
        result = measured(Path(name), options.megabytes, options.rounds)
    printed({name: round(value, 1) for name, value in asdict(result).items()}, options.json)


if __name__ == "__main__":
    main()
