"""Plain English: phrases that a native reader has to translate, and what stands in their place.

The table is the project's glossary. It is held against every text that a reader meets: messages, docstrings, comments,
templates and pages. Each pattern is one that is never right in this project.
"""

import ast
import io
import re
import tokenize

import pytest

from tests.helpers import ROOT

#: Pattern -> what to write instead.
GLOSSARY = {
    r'\b(to be|be|is|are|was) had\b(?! (a|an|the))': 'is available',
    r'\bcannot be had\b': 'is not available',
    r'(?<!there )\b(is|are|was|were) no (flag|study|run|config|model|claim|field|file|folder|dataset)\b': 'is not a ...',
    r'\b(is|are|was|were) wanted\b': 'is required, is expected',
    r'\bwanted is\b': 'expected for example',
    r'\bbut for\b': 'except for',
    r'\banew\b': 'again',
    r'\bfor want of\b': 'for lack of, because ... is not available',
    r'\bwhere there (is|are) (no|none|one|any|some|several|more)\b': 'if there is',
    r'\bmade up\b(?! (of|more|mo|for|half))': 'synthetic',
    r'\bgarbled\b': 'malformed',
    r'\bit is no use\b': 'it is useless',
    r'\bdid not come\b': 'did not start',
    r'\b(has|have) not come\b': 'has not joined',
    r'\bis nobody.s\b': 'is not reported',
    r'\bas (often|much) as (there is|there are)\b': 'as much as possible',
    r'\bwhat became of\b|\bwhat becomes of\b': 'what happens to',
    r'\bis told (how|what|which|that)\b': 'is reported',
    r'\bis said (how|what|which|in)\b': 'is reported',
    r'\bwhat is wrong is said\b': 'mistakes are reported',
    r'\bis asked for nothing but\b': 'only',
    r'\bthe darker, the more\b': 'is darker the larger',
    r'\bhangs on\b': 'depends on',
    r'\blie apart by\b': 'differ by',
    r'\bwith the one in it\b': 'with one',
    r'\bthat there (is|are)\b(?= (of|in|for|to)\b)': 'available',
    r'\bbeside (it|its|each|the|a|an|other|ours|our|plain|their|that|this)\b': 'next to, compared with',
    r'\bWhy is in\b': 'See',
    r'\bof somebody.s own\b': "a user's own",
    r'\bfor reasons of its own\b': 'from outside',
    r'\ba machine of (its|their) own\b|\bmachines of their own\b': 'separate machines',
    r'\bfinds its way\b': 'explores',
    r'\b(cannot|can) be told (from|apart)\b': 'undecided',
    r'\bslips? of the pen\b': 'typing mistakes',
    r'\bstillborn\b|\blast_words\b|\blast words\b': 'a plain word that can be searched for',
    r'\bno (longer|more) than it has\b': 'its own',
}

#: Where the table itself stands.
EXEMPT = {'tests/test_english.py'}


def texts(path) -> list[tuple[int, str]]:
    """Returns (line, text) of what a reader of a file meets: of Python files the strings and the comments."""
    content = path.read_text(encoding='utf-8')
    if path.suffix != '.py':
        return [(number, line) for number, line in enumerate(content.splitlines(), start=1)]
    found = [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(content))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(content).readline)
    comments = [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
    return found + comments


FOLDERS = (
    'seedwise', 'configs', 'data_pipeline', 'trainer', 'launch', 'benchmarks', 'examples', 'tests', 'docs', 'notebooks'
)  # fmt: skip
FILES = sorted(
    [
        *(
            path
            for folder in FOLDERS
            for pattern in ('*.py', '*.j2', '*.md', '*.ipynb')
            for path in (ROOT / folder).rglob(pattern)
            if '_build' not in path.parts
        ),
        *(ROOT / name for name in ('README.md', 'CHANGELOG.md', 'Makefile', 'setup.py', '.ci/run', 'pyproject.toml')),
        *(ROOT / name for name in ('Dockerfile', '.dockerignore', '.gitignore')),
        *ROOT.glob('requirements*.txt'),
    ]
)


def test_no_text_has_a_phrase_of_the_glossary():
    found = []
    for path in FILES:
        name = str(path.relative_to(ROOT))
        if name in EXEMPT:
            continue
        for line, text in texts(path):
            flat = ' '.join(text.split())
            for pattern, better in GLOSSARY.items():
                for match in re.finditer(pattern, flat, re.IGNORECASE):
                    around = flat[max(0, match.start() - 30) : match.end() + 30]
                    found.append(f'{name}:{line}: "{around}": write "{better}"')
    assert not found, '\n'.join(['', *found])


@pytest.mark.parametrize('text', ['a dataset that cannot be had here', 'Adam cannot be told from SGD', 'made up runs'])
def test_the_glossary_finds_what_it_is_for(text):
    assert any(re.search(pattern, text) for pattern in GLOSSARY)
