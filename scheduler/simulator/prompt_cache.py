"""The prompts whose KV cache a runner still holds, slot by slot, and the host-memory copies."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from scheduler.simulator.events import Segment

Prompt = tuple[Segment, ...]
MIN_SHARE = 0.10  # llama-server prefers a slot by prefix only above this share of the new prompt


def common_tokens(held: Prompt, asked: Prompt) -> int:
    """Tokens of the longest common prefix, counted by whole segments."""
    tokens = 0
    for ours, theirs in zip(held, asked, strict=False):
        if ours.key != theirs.key:
            break
        tokens += theirs.tokens
    return tokens


@dataclass(slots=True)
class PromptCache:
    """The cached prefixes of one runner; lost with it. `spare_tokens` bounds the host-memory copies."""

    slots: int
    spare_tokens: int  # 0 before 0.30: no host-memory copies
    min_share: float = MIN_SHARE
    _held: dict[int, Prompt] = field(default_factory=dict)  # least recently used first
    _spare: deque[Prompt] = field(default_factory=deque)
    _busy: set[int] = field(default_factory=set)

    def take(self, prompt: Prompt, tokens: int) -> tuple[int, int]:
        """Choose an idle slot for a prompt of `tokens`; return it and the tokens it need not read again."""
        best, cached = self._best_idle(prompt, tokens)
        if cached <= self.min_share * tokens:
            best = self._least_used()
            cached = self._from_spare(best, prompt)
        self._busy.add(best)
        self._held.pop(best, None)
        self._held[best] = prompt
        return best, max(0, min(cached, tokens - 1))

    def _best_idle(self, prompt: Prompt, tokens: int) -> tuple[int, int]:
        best, most = -1, 0
        for slot, held in self._held.items():
            if slot in self._busy:
                continue
            common = common_tokens(held, prompt)
            if common > most:
                best, most = slot, common
                if most >= tokens:
                    break
        return best, most

    def _least_used(self) -> int:
        """An idle slot: one that was never used, or the one whose last use is longest ago."""
        if len(self._held) < self.slots:
            return next(slot for slot in range(self.slots) if slot not in self._held)
        return next(slot for slot in self._held if slot not in self._busy)

    def release(self, slot: int, answer: Segment | None) -> None:
        """Free a slot; the answer, when known, extends the prefix that it holds."""
        self._busy.discard(slot)
        if answer is not None:
            self._held[slot] = (*self._held[slot], answer)

    def cut(self, slot: int, tokens: int) -> None:
        """Leave of a slot's prompt only what was read of it: whole segments, so many tokens at most."""
        kept: list[Segment] = []
        for segment in self._held.get(slot, ()):
            tokens -= segment.tokens
            if tokens < 0:
                break
            kept.append(segment)
        if slot in self._held:
            self._held[slot] = tuple(kept)

    def _from_spare(self, slot: int, prompt: Prompt) -> int:
        """Save what the slot holds to host memory, and bring the best match back from there."""
        if not self.spare_tokens:
            return common_tokens(self._held.get(slot, ()), prompt)
        best = max((common_tokens(spare, prompt) for spare in self._spare), default=0)
        if held := self._held.get(slot, ()):
            if held in self._spare:
                self._spare.remove(held)
            self._spare.append(held)
            while sum(s.tokens for spare in self._spare for s in spare) > self.spare_tokens:
                self._spare.popleft()
        return max(best, common_tokens(held, prompt))
