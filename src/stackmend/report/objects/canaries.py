# SPDX-License-Identifier: Apache-2.0
"""What became of a batch of canaries: latencies with a histogram, and failures by host and phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from stackmend.model.errors import Exit
from stackmend.model.finding import Row
from stackmend.model.objects.canaries import Batch, Canary
from stackmend.model.values import objects, texts, whole
from stackmend.report.document import Document
from stackmend.report.words import count, wrapped

COLUMNS = (
    ("Batch", "batch"), ("Run", "run"), ("Count", "count"), ("Proved", "proved"), ("Failed", "failed"),
    ("Outcome", "outcome"),
)  # fmt: skip
_OUTCOMES = {Exit.CLEAN: "clean", Exit.FINDINGS: "failures", Exit.STOPPED: "stopped", Exit.IN_DOUBT: "in doubt"}
#: upper ends of the bars of a histogram, seconds; the last bar has none
_ENDS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
#: what is measured -> how it is called, in order
_MEASURED = {
    "build": "request to active", "wait": "until a host began", "host": "on the host", "prove": "until proved",
    "clean": "deletion",
}  # fmt: skip
_BAR = 40
_SHARES = (0.5, 0.9, 0.99)


def brief(facts: Row, width: int) -> str:
    """What a plan of canaries would do, in a paragraph; every step of it is in -f json, and in a file of --out."""
    number, wave = whole(facts["count"]), whole(facts["parallel"])
    networks, hosts = texts(facts["networks"]), texts(facts["hosts"])
    volume = whole(facts["volume"])
    where = f", in turn on {', '.join(hosts)}" if hosts else ""
    boots = f"a volume of {volume} GiB made of image {facts['image']}" if volume else f"image {facts['image']}"
    ports = f"one port on each of {', '.join(networks)}" if networks else "no port"
    lines = (
        f"{count(number, 'server')} would be built{where}, at most {min(number, wave)} at a time: flavor"
        f" {facts['flavor']}, from {boots}, with {ports}.",
        "Each is proved, then deleted with all that is its own, whatever became of it. They are called"
        f" stackmend-canary-{facts['batch']}-NNNN. -f json shows every step.",
    )
    return "\n".join(line for text in lines for line in wrapped(text, width))


def batch(found: Batch, width: int) -> Document:
    """For people latencies and failures; for machines docs/schemas/canary.json."""
    data = {
        "batch": found.batch,
        "run": found.run,
        "outcome": _OUTCOMES[found.exit],
        "asked": dict(found.asked),
        "count": len(found.canaries),
        "proved": found.proved,
        "failed": len(found.bad),
        "latencies": {name: _summary(some) for name in _MEASURED if (some := _seconds(found, name))},
        "failures": _failures(found.bad),
        "hosts": _hosts(found.canaries),
        "left": list(found.left),
        "canaries": [_one(one) for one in found.canaries],
    }
    return Document(data=data, columns=COLUMNS, text="\n".join(_lines(found, width)))


def _one(one: Canary) -> dict[str, object]:
    return {
        "name": one.name,
        "server": one.server or None,
        "phase": one.phase.value,
        "failed": one.failed,
        "host": one.host or None,
        "reason": one.why,
        "seconds": dict(one.seconds),
        "attempts": [
            {"host": at.host, "seconds": at.seconds, "failed": at.failed, "reason": at.why} for at in one.attempts
        ],
        "causes": _causes([one]),
    }


def _seconds(found: Batch, name: str) -> list[float]:
    return sorted(one.seconds[name] for one in found.canaries if name in one.seconds)


def _summary(some: Sequence[float]) -> dict[str, object]:
    """Of a sorted list that is not empty."""
    shares = {f"p{share * 100:.0f}": some[min(len(some) - 1, int(share * len(some)))] for share in _SHARES}
    return {"number": len(some), "least": some[0], **shares, "most": some[-1], "histogram": _histogram(some)}


def _histogram(some: Sequence[float]) -> list[dict[str, object]]:
    """Bars from the first to the last that have anything in them."""
    bars = [(end, sum(low < one <= end for one in some)) for low, end in zip((-1, *_ENDS), _ENDS, strict=False)]
    above = sum(one > _ENDS[-1] for one in some)
    full = [at for at, (_, number) in enumerate(bars) if number]
    shown = bars[full[0] : (len(bars) if above else full[-1] + 1)] if full else []
    found: list[dict[str, object]] = [{"up_to": end, "number": number} for end, number in shown]
    return [*found, {"up_to": None, "number": above}] if above else found


def _failures(bad: Sequence[Canary]) -> list[dict[str, object]]:
    """By host and phase, the most frequent first, each with a reason of one of them."""
    number = Counter((one.host, one.phase.value) for one in bad)
    return [
        {
            "host": host or None,
            "phase": phase,
            "number": many,
            "reason": next(one.why for one in bad if (one.host, one.phase.value) == (host, phase)),
            "causes": _causes([one for one in bad if (one.host, one.phase.value) == (host, phase)]),
        }
        for (host, phase), many in number.most_common()
    ]


def _causes(canaries: Sequence[Canary]) -> list[dict[str, str]]:
    found = {why.cause: why for one in canaries for why in one.causes}
    return [{"cause": why.cause, "confidence": why.confidence, "statement": why.statement} for why in found.values()]


def _hosts(canaries: Sequence[Canary]) -> list[dict[str, object]]:
    """Host -> attempts there, and how many of them failed: also those that another host made up for."""
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for one in canaries:
        for attempt in one.attempts:
            tried[attempt.host] += 1
            failed[attempt.host] += attempt.failed
    return [{"host": host, "attempts": many, "failed": failed[host]} for host, many in sorted(tried.items())]


def _lines(found: Batch, width: int) -> Iterator[str]:
    yield f"batch {found.batch}: {found.proved} of {count(len(found.canaries), 'canary', 'canaries')} proved"
    for name, words in _MEASURED.items():
        if some := _seconds(found, name):
            told = ", ".join(f"{share:.0%} within {some[min(len(some) - 1, int(share * len(some)))]:g} s"
                             for share in _SHARES[:2])  # fmt: skip
            yield f"  {words}: {told}, at most {some[-1]:g} s"
    if some := _seconds(found, "build"):
        yield from ("", "request to active")
        yield from _bars(some)
    hosts = [one for one in _hosts(found.canaries) if one["failed"]]
    if hosts:
        yield from ("", "attempts that failed, by host")
        yield from (f"  {one['host']}: {one['failed']} of {one['attempts']}" for one in hosts)
    for one in _failures(found.bad):
        yield ""
        where = f" on {one['host']}" if one["host"] else ""
        yield from wrapped(f"{one['number']} failed in {one['phase']}{where}: {one['reason']}", width, "", "  ")
        for why in objects(one["causes"]):
            yield from wrapped(f"cause ({why['confidence']}): {why['statement']} [{why['cause']}]", width, "  ", "    ")
    if found.left:
        yield from ("", "STILL THERE:", *(f"  {one}" for one in found.left))


def _bars(some: Sequence[float]) -> Iterator[str]:
    bars = _histogram(some)
    most = max(_number(bar["number"]) for bar in bars)
    for bar in bars:
        number = _number(bar["number"])
        end = f"<= {bar['up_to']} s" if bar["up_to"] is not None else f"> {_ENDS[-1]} s"
        yield f"  {end:>9}  {'#' * -(-number * _BAR // most)} {number}".rstrip()


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
