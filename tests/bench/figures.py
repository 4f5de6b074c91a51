"""From measured blocks to medians, ratios and verdicts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One scenario on one route of one target in one round."""

    round: int
    scenario: str
    target: str
    route: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median=median(values), low=min(values), high=max(values))

    def __str__(self) -> str:
        if self.low == self.high:
            return short(self.median)
        return f"{short(self.median)} [{short(self.low)}-{short(self.high)}]"


def short(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def against_direct(blocks: Iterable[Block]) -> list[Block]:
    """The blocks with what a proxy adds to, or loses of, the direct figures of its round and route."""
    blocks = list(blocks)
    direct = {
        (block.round, block.scenario, block.route): block.figures
        for block in blocks
        if block.target == "direct"
    }
    return [
        replace(block, figures=block.figures | _compared(block.figures, direct[place]))
        if (place := (block.round, block.scenario, block.route)) in direct and block.target != "direct"
        else block
        for block in blocks
    ]


def _compared(figures: dict[str, float], direct: dict[str, float]) -> dict[str, float]:
    compared = {}
    for percentile in ("p50", "p99"):
        name = f"ttft_{percentile}_ms"
        if name in figures:
            # Nothing is quicker than direct; below the clock's grain a difference is that grain.
            compared[f"added_{name}"] = max(figures[name] - direct[name], 0.001)
    if "chunks_per_s" in figures:
        compared["share"] = figures["chunks_per_s"] / direct["chunks_per_s"]
    return compared


class Results:
    """The blocks of a run."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self.blocks = tuple(blocks)

    def values(self, scenario: str, target: str, route: str, figure: str) -> dict[int, float]:
        """The figure by round."""
        place = (scenario, target, route)
        return {
            block.round: block.figures[figure]
            for block in self.blocks
            if (block.scenario, block.target, block.route) == place and figure in block.figures
        }

    def spread(self, scenario: str, target: str, route: str, figure: str) -> Spread | None:
        values = self.values(scenario, target, route, figure)
        return Spread.of(list(values.values())) if values else None

    def ratio(self, scenario: str, target: str, route: str, figure: str, peer: str) -> Spread | None:
        """To the peer's figure of the same round: a machine that is slow in a round is slow for both."""
        # LiteLLM speaks OpenAI only.
        peer_route = "openai" if peer == "litellm" else route
        ours = self.values(scenario, target, route, figure)
        theirs = self.values(scenario, peer, peer_route, figure)
        both = sorted(number for number in ours.keys() & theirs.keys() if theirs[number])
        return Spread.of([ours[number] / theirs[number] for number in both]) if both else None


def disturbance(results: Results) -> Spread | None:
    """The share of the proxies' core that other programs took while they were measured."""
    shares = [block.figures["others_share"] for block in results.blocks if "others_share" in block.figures]
    return Spread.of(shares) if shares else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One target of the project beside what was measured."""

    what: str
    bound: str
    measured: str
    met: bool | None  # None: not measured in this run


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure of the bridge, or its ratio to a peer's, that must stay on one side of a limit."""

    what: str
    scenario: str
    route: str
    figure: str
    sign: str  # "<=" or ">="
    limit: float
    peer: str = ""  # empty: the figure itself

    def judge(self, results: Results) -> Verdict:
        if self.peer:
            spread = results.ratio(self.scenario, "bridge", self.route, self.figure, self.peer)
        else:
            spread = results.spread(self.scenario, "bridge", self.route, self.figure)
        bound = f"{self.sign} {short(self.limit)}" + (f" x {self.peer}" if self.peer else "")
        if spread is None:
            return Verdict(what=self.what, bound=bound, measured="not measured", met=None)
        met = spread.median <= self.limit if self.sign == "<=" else spread.median >= self.limit
        return Verdict(what=self.what, bound=bound, measured=str(spread), met=met)


BOUNDS = (
    Bound("small native: CPU", "small", "native", "cpu_ms", "<=", 1 / 40, "litellm"),
    Bound("small native: CPU", "small", "native", "cpu_ms", "<=", 15, "nginx"),
    Bound("small native: requests/s", "small", "native", "rps", ">=", 0.1, "nginx"),
    Bound("small native: requests/s", "small", "native", "rps", ">=", 50, "litellm"),
    Bound("20 chunks native: CPU", "stream20", "native", "cpu_ms", "<=", 1 / 80, "litellm"),
    Bound("20 chunks native: CPU", "stream20", "native", "cpu_ms", "<=", 8, "nginx"),
    Bound("20 chunks OpenAI: CPU", "stream20", "openai", "cpu_ms", "<=", 1 / 40, "litellm"),
    Bound("added TTFT p50", "ttft", "native", "added_ttft_p50_ms", "<=", 3, "nginx"),
    Bound("added TTFT p50", "ttft", "native", "added_ttft_p50_ms", "<=", 1 / 30, "litellm"),
    Bound("added TTFT p99", "ttft", "native", "added_ttft_p99_ms", "<=", 4, "nginx"),
    Bound("200 streams: share forwarded", "paced200", "native", "share", ">=", 0.98),
    Bound("200 streams: forwarding p50, ms", "paced200", "native", "forward_p50_ms", "<=", 1.5),
    Bound("200 streams: CPU per chunk", "paced200", "native", "cpu_us_per_chunk", "<=", 2.5, "nginx"),
    Bound("1,000 streams: KiB each", "memory", "native", "kib_per_stream", "<=", 40),
    Bound("200 waiting: more threads", "waiting", "native", "threads_added", "<=", 20),
)


def verdicts(results: Results) -> list[Verdict]:
    return [bound.judge(results) for bound in BOUNDS]
