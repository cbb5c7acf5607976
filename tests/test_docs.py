"""README and docs/: links lead somewhere, commands exist with their flags, and lines are of a length that diffs can show."""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from configs import default
from seedwise import dotted
from tests.helpers import ROOT

PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').glob('*.md'), ROOT / 'docs' / 'studies' / 'README.md'])
LONGEST = 130

#: Flags that absl or argparse give every command.
EVERYWHERE = {'help'}


def names(page) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize('page', PAGES, ids=names)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding='utf-8')
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if re.match(r'https?:', target):
            continue
        path, _, anchor = target.partition('#')
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r'^#+ (.*)$', file.read_text(encoding='utf-8'), re.MULTILINE)
            assert anchor in {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-') for heading in headings}, target


@pytest.mark.parametrize('page', PAGES, ids=names)
def test_lines_are_not_too_long(page):
    for number, line in enumerate(page.read_text(encoding='utf-8').splitlines(), start=1):
        is_prose = not line.startswith(('|', '    ', '!')) and 'http' not in line
        assert len(line) <= LONGEST or not is_prose, f'{page.name}:{number} has {len(line)} columns'


def commands(page) -> list[list[str]]:
    """Returns the words of every `python -m` and `seedwise` command of a page."""
    found = []
    for line in re.findall(r'(?:python -m|^    seedwise) [^`\n|]+', page.read_text(encoding='utf-8'), re.MULTILINE):
        line = re.sub(r'\[|\]|\.\.\.', ' ', line.split('#')[0]).strip().rstrip('.,;:)')
        found.append(shlex.split(line))
    return found


def flags_of(module: str) -> set[str]:
    """Returns every text in a module's source, the flags that it defines among them."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, f'{module} does not exist'
    file = spec.origin
    if spec.submodule_search_locations:
        file = importlib.util.find_spec(f'{module}.__main__').origin
    constants = [n for n in ast.walk(ast.parse(Path(file).read_bytes())) if isinstance(n, ast.Constant)]
    words = {constant.value for constant in constants if isinstance(constant.value, str)}
    return {word.lstrip('-').replace('-', '_') for word in words}


@pytest.mark.parametrize('page', PAGES, ids=names)
def test_commands_exist_with_their_flags(page):
    fields = set(dotted.types(default.get_config()))
    for words in commands(page):
        module, rest = (words[2], words[3:]) if words[0] == 'python' else ('seedwise', words[1:])
        if module in ('venv', 'pip', 'seedwise'):
            continue
        own = flags_of(module)
        if module == 'trainer.compare':
            own |= flags_of('trainer.compare.quick')
        if module == 'launch' and rest and not rest[0].isupper():
            own |= flags_of(f'launch.{rest[0]}') | flags_of('launch.script')
        if '--' in rest:
            rest = rest[: rest.index('--')]
        for word in rest:
            if not word.startswith('--') or word.isupper():
                continue
            flag = word[2:].partition('=')[0]
            section, _, path = flag.partition('.')
            if section == 'config' and path:
                assert path in fields or any(field.startswith(path) for field in fields) or '<' in path, word
            elif section == 'study' and path:
                head, _, inner = path.partition('.')
                assert head in ('seeds', 'tune') or (head == 'base' and (not inner or inner in fields)), word
            else:
                assert flag.replace('-', '_') in own | EVERYWHERE, f'{word} of {module}'


def test_every_module_folder_is_on_the_map():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    listed = set(re.findall(r'^\| `([\w/]+)/` \|', text, re.MULTILINE))
    folders = {path.parent.name for path in ROOT.glob('*/__init__.py')} | {'docs', 'notebooks', 'benchmarks', 'tests'}
    assert folders <= listed
    assert all((ROOT / folder).is_dir() for folder in listed)
