"""Secrets are taken out of what is recorded unasked: command lines, variables, addresses, diffs.

Nothing finds every secret. These patterns find what looks like one by its form (tokens of well-known
services, keys, JSON web tokens) and what is called one by its name (`--api-key x`, `PASSWORD=x`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

HIDDEN = "***"

_BLOCK = 1 << 12
"""Characters searched at a time: a search holds the interpreter lock."""


class _Pattern(NamedTuple):
    """What is searched for where a block has one of `words` (in lower case), which is quickly seen."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str = HIDDEN


_CALLED = ("pass", "secret", "credential", "key", "token", "auth", "pwd")
_NAME = (
    r"(?:pass(?:word|wd|phrase|code|(?<![a-z]pass))|secret|credentials?|api[_-]?key"
    r"|access[_-]?key(?:[_-]id)?|private[_-]?key|account[_-]?key|auth[_-]?token|authorization|token|pwd)"
)
"""How secrets are called; a longer name that ends so is one too. `tokens` and `bypass` are none."""
_NAMED_VALUE = rf"{_NAME}(?:=(?!=)|(?<!\bpass): {{1,4}})"
"""A name and what stands before its value, as in YAML and the shell; `first pass: …` is prose."""
_BARE = r"(?!(?:none|null|true|false|str)\b)[^\s'\"()\[\]{},;$<*]{4,500}+"
_NO_VARIABLE = r"(?![a-z_.]{1,500}+(?:[\s,;]|$))"
"""Not words alone, which in code are the name of another variable."""

# All have bounds, so that a search takes time in proportion to the text.
_PATTERNS = (
    # by form
    _Pattern(  # a password with `/` or `@` in it, where no host follows that ends what stands before it
        ("://",),
        re.compile(
            r"(?i)://(?![^/\s'\"<>]{1,500}@(?:localhost|[\w-]{1,100}(?:\.[\w-]{1,100}){1,10})"
            r"(?::\d{1,5})?(?:/|$))"
            r"[^/\s:@'\"<>\[{]{0,200}:(?!/|\d{1,5}[/?#])(?:(?!://)[^\s'\"<>]){1,500}@"
        ),
        f"://{HIDDEN}@",
    ),
    _Pattern(("://",), re.compile(r"://(?!git@)[^/\s'\"<>]{1,500}@"), f"://{HIDDEN}@"),
    _Pattern(("eyj",), re.compile(r"\beyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]*")),
    _Pattern(("hf_", "npm_"), re.compile(r"\b(?:hf|npm)_[A-Za-z0-9]{20,}")),
    _Pattern(("gh", "github_pat_", "glpat-"), re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-)[\w-]{16,}")),
    _Pattern(("pypi-", "dop_v1_"), re.compile(r"\b(?:pypi-|dop_v1_)[\w-]{16,}")),
    _Pattern(("sk-", "sk_", "pk_", "rk_"), re.compile(r"\b(?:sk-|[spr]k_(?:live|test)_)[\w-]{16,}")),
    _Pattern(("xox", "xapp-"), re.compile(r"\b(?:xox[abeoprs]|xapp)-[\w-]{10,}")),
    _Pattern(("aiza", "ya29."), re.compile(r"\b(?:AIza|ya29\.)[\w.-]{16,}")),
    _Pattern(("sg.",), re.compile(r"\bSG\.[\w-]{16,100}\.[\w-]{16,}")),
    _Pattern(("akia", "asia", "abia", "acca"), re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b")),
    _Pattern(
        ("bearer", "basic"),
        re.compile(r"(?i)\b((?:bearer|basic)\s{1,4})[a-z0-9._~+/=-]{16,}"),
        rf"\1{HIDDEN}",
    ),
    # by name
    _Pattern(
        ("?", "&"),
        re.compile(
            r"(?i)([?&][\w-]{0,40}(?:token|key|sig|signature|secret|pass(?:word|code|(?<![a-z]pass)))=)"
            r"[^&\s'\"]+"
        ),
        rf"\1{HIDDEN}",
    ),
    _Pattern(  # in quotes; `<pad>` and `[CLS]` are tokens of another kind
        _CALLED,
        re.compile(
            rf"(?i)({_NAME}['\"]?\]?\s{{0,4}}[:=]\s{{0,4}}[a-z]{{0,2}}(['\"]))(?![<\[{{$])[^'\"\n]{{4,500}}"
        ),
        rf"\1{HIDDEN}",
    ),
    # by name and bare; code has names on the right of `=`, and calls
    _Pattern(  # with `;` after it in a connection string, or before another command
        _CALLED,
        re.compile(
            rf"(?i)({_NAMED_VALUE})(?:{_BARE}(?=\s|$)|(?<==)(?![\w.]{{0,100}}{_NAME};){_BARE}(?=;)"
            rf"|{_NO_VARIABLE}{_BARE}(?=[,;]))"
        ),
        rf"\1{HIDDEN}",
    ),
    _Pattern(  # to the end of the line, as in an INI file; of tokens there are numbers
        _CALLED,
        re.compile(
            rf"(?im)({_NAME}(?!(?<=token)[ \t=]{{1,9}}[\d._-]{{1,40}}(?:\s|$))[ \t]{{0,4}}=(?!=)[ \t]{{0,4}})"
            rf"{_NO_VARIABLE}{_BARE}(?=[ \t\r]{{0,20}}(?:[#;].{{0,500}})?$)"
        ),
        rf"\1{HIDDEN}",
    ),
    _Pattern(("pass: ",), re.compile(rf"(?m)^([ \t+-]{{0,40}}pass: {{1,4}}){_BARE}(?=\s|$)"), rf"\1{HIDDEN}"),
)
_KEY_BLOCK = re.compile(
    r"-----BEGIN ([A-Z ]{0,30})PRIVATE KEY((?: BLOCK)?)-----.*?(?:-----END \1PRIVATE KEY\2-----|\Z)",
    re.DOTALL,
)
_NAMED = re.compile(rf"(?i)[\w.+-]{{0,100}}{_NAME}")


def scrubbed(text: str) -> str:
    """The text without what looks like a secret."""
    text = _KEY_BLOCK.sub(HIDDEN, text)
    return "".join(map(_without_secrets, _blocks(text)))


def scrubbed_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line, without the values of flags that are called like secrets."""
    found = []
    is_value = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if is_value and not argument.startswith("--"):
            found.append(HIDDEN)
            is_value = False
        elif equals and _NAMED.fullmatch(name):
            found.append(f"{name}={HIDDEN}")
        else:
            found.append(scrubbed(argument))
            is_value = argument.startswith("-") and _NAMED.fullmatch(argument) is not None
    return found


def _without_secrets(text: str) -> str:
    lower = text.lower()
    for words, pattern, replacement in _PATTERNS:
        if any(word in lower for word in words):
            text = pattern.sub(replacement, text)
    return text


def _blocks(text: str) -> Iterator[str]:
    """Whole lines, several at a time; a line that is longer than a block, alone."""
    start = 0
    while start < len(text):
        end = text.rfind("\n", start, start + _BLOCK) + 1 or text.find("\n", start + _BLOCK) + 1 or len(text)
        yield text[start:end]
        start = end
