"""Text in policies: wildcards (`*`, `?`) and variables (`${aws:username}`).

What a variable stands for is taken literally: a user called `*` is not everybody. `${*}`, `${?}` and `${$}`
are those characters themselves.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from objstore.iam.vocabulary import condition_key

Lookup = Callable[[str], tuple[str, ...] | None]
"""The values of a condition key of a request (named as `condition_key` does); None when it has none."""

_ANY: Final = "**"  # tokens are single characters, or one of these two
_ONE: Final = "??"
_VARIABLE: Final = re.compile(
    r"""\$\{ (?: (?P<character>[*?$]) | \s*(?P<key>[^,'}]+?)\s*(?:,\s*'(?P<default>[^']*)'\s*)? ) \}""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Variable:
    key: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a policy. Parts: text as written, or a single literal character, or a variable."""

    written: str
    parts: tuple[str | tuple[str] | _Variable, ...]
    is_fixed: bool = field(default=True)
    """It has no variable."""

    @classmethod
    def parse(cls, written: str, *, with_variables: bool) -> "Text":
        """ValueError for a variable of an unknown key, and for `${` that begins none."""
        if not with_variables or "${" not in written:
            return cls(written, (written,))
        parts: list[str | tuple[str] | _Variable] = []
        position = 0
        while (begin := written.find("${", position)) >= 0:
            found = _VARIABLE.match(written, begin)
            if found is None:
                raise ValueError(written)
            parts.append(written[position:begin])
            if found["character"]:
                parts.append((found["character"],))
            else:
                parts.append(_Variable(condition_key(found["key"]), found["default"]))
            position = found.end()
        parts.append(written[position:])
        return cls(written, tuple(parts), not any(isinstance(part, _Variable) for part in parts))

    @property
    def has_wildcard(self) -> bool:
        """Whether `*` or `?` stands in what is written, other than literally."""
        return any(isinstance(part, str) and ("*" in part or "?" in part) for part in self.parts)

    def plain(self, lookup: Lookup) -> str | None:
        """The text with its variables replaced; None when one of them has no single value."""
        if len(self.parts) == 1:
            return self.written
        resolved = self._resolved(lookup)
        return None if resolved is None else "".join(text for text, _ in resolved)

    def matches(self, text: str, lookup: Lookup) -> bool:
        """Whether `text` fits, as a whole; a variable without a value fits nothing."""
        tokens = self._tokens(lookup)
        return tokens is not None and _compiled(tokens).match(text) is not None

    def matches_arn(self, arn: str, lookup: Lookup) -> bool:
        """The same for an ARN, part by part: no wildcard reaches over the first five colons."""
        tokens = self._tokens(lookup)
        parts = arn.split(":", 5)
        if tokens is None or len(parts) < 6:
            return False
        patterns = _split_arn(tokens)
        return len(patterns) == 6 and all(
            _compiled(pattern).match(part) for pattern, part in zip(patterns, parts, strict=True)
        )

    def _resolved(self, lookup: Lookup) -> list[tuple[str, bool]] | None:
        """(text, whether `*` and `?` in it are wildcards), part by part."""
        resolved: list[tuple[str, bool]] = []
        for part in self.parts:
            if isinstance(part, str):
                resolved.append((part, True))
            elif isinstance(part, tuple):
                resolved.append((part[0], False))
            else:
                values = lookup(part.key)
                if values is not None and len(values) == 1:
                    resolved.append((values[0], False))
                elif part.default is not None:
                    resolved.append((part.default, False))
                else:
                    return None
        return resolved

    def _tokens(self, lookup: Lookup) -> tuple[str, ...] | None:
        if len(self.parts) == 1:
            return _wild_tokens(self.written)
        resolved = self._resolved(lookup)
        if resolved is None:
            return None
        tokens: list[str] = []
        for text, is_wild in resolved:
            tokens += _wild_tokens(text) if is_wild else text
        return tuple(tokens)


@lru_cache(maxsize=4096)
def _wild_tokens(text: str) -> tuple[str, ...]:
    return tuple(_ANY if char == "*" else _ONE if char == "?" else char for char in text)


def _split_arn(tokens: Sequence[str]) -> list[tuple[str, ...]]:
    parts: list[list[str]] = [[]]
    for piece in tokens:
        if piece == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(piece)
    return [tuple(part) for part in parts]


@lru_cache(maxsize=4096)
def _compiled(tokens: tuple[str, ...]) -> re.Pattern[str]:
    """A regular expression without backtracking over what a `*` took: time is at most length times length."""
    runs = [""]
    for token in tokens:
        if token == _ANY:
            runs.append("")
        else:
            runs[-1] += "." if token == _ONE else re.escape(token)
    first, *rest = runs
    if not rest:
        return re.compile(first + r"\Z", re.DOTALL)
    *middle, last = rest
    return re.compile(first + "".join(f"(?>.*?{run})" for run in middle if run) + f".*{last}\\Z", re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """Whether `text` as a whole fits `pattern`, in which only `*` and `?` are special."""
    return _compiled(_wild_tokens(pattern)).match(text) is not None
