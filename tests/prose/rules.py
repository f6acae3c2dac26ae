"""The rules of plain English: a phrase that a rule finds, and the words to write instead.

They hold for text about software. A quotation of Django, HTTP or an RFC that breaks one stands in ``ALLOWED``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.prose.passages import COMMENT, DOCSTRING, PAGE, STRING, TEST_NAME, Passage, without_code

# Twenty words are the aim. At more than this a sentence has two facts, or a list that would be read faster as one.
LONGEST_SENTENCE = 30

_START = r"(?:\A\s*|[.!?:;]\s+|\n\s*\n\s*)[\"'(*_]*"
_VERB = r"(?:is|are|was|were|has|have|had|do|does|did|can|may|must|will|would)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern, the advice for what it finds, and the kinds of prose it holds for (all, if empty)."""

    name: str
    pattern: re.Pattern[str]
    advice: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A phrase that a rule found, and its line in the file."""

    line: int
    phrase: str
    rule: str
    advice: str


def _rule(name: str, pattern: str, advice: str, *, kinds: tuple[str, ...] = (), case: bool = False) -> Rule:
    flags = 0 if case else re.IGNORECASE
    return Rule(name=name, pattern=re.compile(pattern.replace(" ", r"\s+"), flags), advice=advice, kinds=kinds)


RULES = [
    _rule(
        "indefinite person",
        r"\b(?:nobody|somebody|anybody|everybody|no one|someone|anyone|everyone)(?:'s)?\b",
        "name the thing or the role: no request, a client, every user",
    ),
    _rule("who", r"\b(?:who|whom|whoever|whomever|whosoever)\b", "name the subject: the client that, users with"),
    _rule(
        "leading clause",
        r"\A\s*(?:What|Who|Whose|Whether|Where|How|Which|By what|Of what|For what|In what|To what)\b(?!.*\?\s*$)",
        "begin with a verb or a noun: Return True if, The names of",
        kinds=(DOCSTRING, COMMENT, TEST_NAME),
    ),
    _rule("leading clause", r"\A\s*(?:What|Who|Whose)\b(?!.*\?\s*$)", "begin with the subject", kinds=(STRING, PAGE)),
    _rule(
        "what as a subject",
        r"[.!?:;]\s+[\"'(*_]*(?:What|Whatever|Whose)\b(?![^.!]*\?)|\A\s*Whatever\b",
        "name the subject: a value that, the rest",
    ),
    _rule("whether", r"\breturns? whether\b", "Return True if", kinds=(DOCSTRING, COMMENT)),
    _rule(
        "idiom",
        r"\b(?:c[oa]mes? to grief|comes? to|g[eo]ts? round|looks? over|in vain|lest|howsoever|for good"
        r"|all the same|as it is|once more|as often|by itself|by themselves|of (?:its|their) own|what is left"
        r"|what was left|comes? second|tak(?:es?|en) for dead|giv(?:es?|en|ing) (?:an )?account"
        r"|takes? (?:its|their) leave|has its life|none the less|be it|but for"
        r"|of a piece|by and by|for its part|in its turn|at one go|makes? good|falls? to"
        r"|if need be|makes? do|come what may)\b",
        "use the plain word",
    ),
    _rule(
        "double possessive",
        r"\bof (?:ours|yours|theirs|(?:Django|asgiref|pydantic|msgspec|a view|the view|a test|the project)'s"
        r"|(?:(?:a|the|an) )?(?:PostgreSQL|client|server|user|request|loop|pool|worker|task|model|database)'s(?! \w))",
        "a view of Django, or Django's view",
    ),
    _rule("old name", r"\b(?:plugs?|hygiene|reaper)\b", "policy, reset, finalizer"),
    _rule("he", r"\b(?:he|him|his|himself|she|her|hers)\b", "they for people, it for software"),
    _rule(
        "inversion",
        rf"(?:{_START}|, |; )(?:so|neither|nor|only then|never|not only|nowhere) {_VERB}\b(?= (?:it|they|the|a|an|its"
        r"|their|this|that|there|one|all|any|every|each|\w+s)\b)",
        "subject first: it has one too, it does not either",
    ),
    _rule("one place", r"\b(?:this|that|here) is its (?:one|only) place\b", "write it where a test counts the places"),
]

# A file's end, the phrase, the reason.
ALLOWED: tuple[tuple[str, str, str], ...] = (
    ("tests/views/middleware/test_parity.py", "who", "paths of the site under test: /who"),
)

_SENTENCE_END = re.compile(
    r"[.!?][)\"'`*]*\s+(?=[^a-z])|\n\s*\n|\n\s*(?:[-*]|\d\.)\s|\s\|\s|:\n\n|::\s|\n\s*(?=`code`\s\s)"
)
_WORD = re.compile(r"\S*[^\W\d_]\S*")


def check(passage: Passage, file: str = "") -> Iterator[Finding]:
    """Yield the findings of all rules in one passage. ``file`` is looked up in ``ALLOWED``."""
    text = without_code(passage.text)
    for rule in RULES:
        if rule.kinds and passage.kind not in rule.kinds:
            continue
        for found in rule.pattern.finditer(text):
            phrase = " ".join(found[0].split()).lstrip("\"'(*_.,!?:; ")
            if not _is_allowed(file, phrase):
                line = passage.line + text.count("\n", 0, found.end())
                yield Finding(line=line, phrase=phrase, rule=rule.name, advice=rule.advice)
    if passage.kind in {DOCSTRING, COMMENT, PAGE}:
        yield from _long_sentences(passage.line, text)


def _is_allowed(file: str, phrase: str) -> bool:
    return any(file.endswith(end) and phrase.lower() == allowed.lower() for end, allowed, _ in ALLOWED)


def _long_sentences(line: int, text: str) -> Iterator[Finding]:
    start = 0
    for end in [*(found.end() for found in _SENTENCE_END.finditer(text)), len(text)]:
        sentence = text[start:end]
        count = len(_WORD.findall(sentence))
        if count > LONGEST_SENTENCE:
            begin = " ".join(sentence.split()[:6])
            at = line + text.count("\n", 0, start + len(sentence) - len(sentence.lstrip()))
            advice = f"{count} words; at most {LONGEST_SENTENCE}"
            yield Finding(line=at, phrase=f"{begin} …", rule="long sentence", advice=advice)
        start = end
