"""The check of plain English: each rule finds what it is for, and passes plain text."""

from pathlib import Path

import pytest

from tests.prose.__main__ import COVERED, LEFT_OUT, ROOT, files, findings, is_covered
from tests.prose.passages import COMMENT, DOCSTRING, PAGE, STRING, TEST_NAME, Passage, passages
from tests.prose.rules import ALLOWED, LONGEST_SENTENCE, check

pytestmark = pytest.mark.no_database
FOLDER = ROOT / "tests" / "prose"


def found(text, kind=DOCSTRING):
    return [(finding.rule, finding.phrase) for finding in check(Passage(kind=kind, line=1, text=text))]


@pytest.mark.parametrize(
    ("text", "rule", "phrase"),
    [
        ("Wait until nobody has the lock.", "indefinite person", "nobody"),
        ("It is somebody\nelse's.", "indefinite person", "somebody"),
        ("Close it: no one reads it.", "indefinite person", "no one"),
        ("The task, whoever began it.", "who", "whoever"),
        ("A user who has logged in.", "who", "who"),
        ("What the pool keeps.", "leading clause", "What"),
        ("Whether the pool is full.", "leading clause", "Whether"),
        ("By what rows are ordered.", "leading clause", "By what"),
        ("The pool is full. What waits is refused.", "what as a subject", "What"),
        ("The pool is full.\n\n    Whatever waits is refused.", "what as a subject", "Whatever"),
        ("Return whether it is open.", "whether", "Return whether"),
        ("A task of its own.", "idiom", "of its own"),
        ("It waits in vain.", "idiom", "in vain"),
        ("Cancel what is left.", "idiom", "what is left"),
        ("The account came to grief.", "idiom", "came to grief"),
        ("Taken for dead after a lease.", "idiom", "Taken for dead"),
        ("A view of ours.", "double possessive", "of ours"),
        ("Middleware of Django's, unchanged.", "double possessive", "of Django's"),
        ("Return the plugs of a view.", "old name", "plugs"),
        ("A client sends the key that he likes.", "he", "he"),
        ("The view has it. So has the mixin.", "inversion", "So has"),
        ("It waits, nor does the pool grow.", "inversion", "nor does"),
        ("This is its one place.", "one place", "This is its one place"),
    ],
)
def test_a_phrase_is_found(text, rule, phrase):
    assert (rule, phrase) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Return True if the request is authenticated.",
        "Return the lease, or None if there is none.",
        "The view decides whether the pool is asked, and what it answers.",
        "The settings of a worker's queue.",
        "Raise PoolTimeout. It is a django.db.OperationalError, so existing code catches it.",
        "``nobody`` and `who` are names.",
        "It is read so that a second reader has none.",
    ],
)
def test_plain_text_passes(text):
    assert found(text) == []


def test_a_question_may_begin_with_what():
    assert found("What do you want to do?", PAGE) == []


def test_a_sentence_is_measured_where_it_is_read():
    long = " ".join(["word"] * (LONGEST_SENTENCE + 1)) + "."
    assert [rule for rule, _ in found(long, PAGE)] == ["long sentence"]
    assert found(" ".join(["word"] * LONGEST_SENTENCE) + ". " + "Another sentence.", PAGE) == []
    assert found(long, STRING) == []  # a message names its remedy in the same breath


MODULE = '''"""What it is."""

LIMIT = 3  # nobody raises it
"""Whether there is a limit."""


def test_nobody_is_refused():  # noqa: S101 - nobody minds
    """Who asks."""
    # The pool is full:
    # somebody waits.
    url = "a#nobody"  # type: ignore[nobody] # somebody else's
    raise ValueError(f"{url} is for everybody here")
'''


def test_the_prose_of_a_module_has_its_lines(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(MODULE)
    assert {(passage.kind, line) for passage in passages(file) for line in lines(passage)} == {
        (DOCSTRING, 1),
        (COMMENT, 3),
        (DOCSTRING, 4),
        (TEST_NAME, 7),
        (DOCSTRING, 8),
        (COMMENT, 7),
        (COMMENT, 10),
        (COMMENT, 11),
        (STRING, 12),
    }


PAGE_TEXT = """# Who asks

The pool is full, so
nobody waits.

```python
nobody = 1  # nobody
```

- `nobody` is a name;
- whoever waits

| Setting | Meaning |
|---|---|
| `A` | what somebody sets |
"""


def test_the_prose_of_a_page_has_its_lines(tmp_path):
    file = tmp_path / "page.md"
    file.write_text(PAGE_TEXT)
    assert sorted({(passage.kind, line) for passage in passages(file) for line in lines(passage)}) == [
        (PAGE, 1),
        (PAGE, 4),
        (PAGE, 11),
        (PAGE, 15),
    ]


def lines(passage):
    return [finding.line for finding in check(passage)]


def test_what_is_allowed_says_where_and_why():
    assert all(file and phrase and reason for file, phrase, reason in ALLOWED)


def test_folders_that_are_covered_exist_and_have_prose():
    for name in [*COVERED, *LEFT_OUT]:
        assert any(files([name])), name
    assert is_covered(ROOT / "daf_views" / "access.py")


def test_the_prose_of_this_check_is_plain():
    assert [finding for name in ("__main__", "passages") for finding in findings(FOLDER / f"{name}.py")] == []


def test_a_finding_has_its_place_and_the_advice():
    number = Path(__file__).read_text().splitlines().index(NOBODY) + 1
    assert f"tests/prose/test_prose.py:{number}: 'nobody' ({ADVICE})" in findings(Path(__file__))


NOBODY = "# nobody"
ADVICE = "indefinite person: name the thing or the role: no request, a client, every user"
# nobody
