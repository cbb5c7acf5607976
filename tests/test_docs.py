"""README and docs/: links lead somewhere, commands parse, code runs, and lines are of a length that diffs can show."""

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from configs import default
from launch.slurm import HANDED_ON
from seedwise import config_files, dotted
from seedwise.__main__ import COMMANDS
from tests.helpers import ROOT
from trainer import judge
from trainer.compare import grid, quick
from trainer.compare.checks.check import check_report
from trainer.compare.normalize import normalize
from trainer.config.check import check

PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').glob('*.md'), ROOT / 'docs' / 'studies' / 'README.md'])
LONGEST = 120

#: Links that lead nowhere, each of another kind: a page, a heading, a file, a heading of the same page, a picture.
DEAD = ('gone.md', 'index.md#gone', '../gone.py', '#gone', 'gone.png')


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
        assert len(line) <= LONGEST or line.startswith('|'), f'{page.name}:{number} has {len(line)} columns'


def commands(page) -> list[tuple[str, list[str]]]:
    """Returns (module, arguments) of every command of a page, those behind a launcher's `--` too."""
    found = []
    text = page.read_text(encoding='utf-8')
    for line in re.findall(r'(?:python -m|^    seedwise) [^`\n|]+', text, re.MULTILINE):
        line = re.sub(r'\[|\]|\.\.\.', ' ', line.split('#')[0].split('&&')[0]).strip().rstrip('.,;:)')
        for part in re.split(r' -- (?:COMMAND)?', line):
            words = shlex.split(part)
            if not words:
                continue
            module, rest = (words[2], words[3:]) if words[0] == 'python' else (COMMANDS[words[1]], words[2:])
            if module not in ('venv', 'pip'):
                found.append((module, rest))
    return found


def defined(module: str) -> set[str]:
    """Returns the flags that a module's source defines."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, f'{module} does not exist'
    file = importlib.util.find_spec(f'{module}.__main__').origin if spec.submodule_search_locations else spec.origin
    calls = [node for node in ast.walk(ast.parse(Path(file).read_bytes())) if isinstance(node, ast.Call)]
    found = set()
    for call in calls:
        name = getattr(call.func, 'attr', getattr(call.func, 'id', ''))
        first = call.args[0] if call.args else None
        if re.match('DEFINE_|define_config|add_argument', name) and isinstance(first, ast.Constant):
            found.add(first.value.lstrip('-'))
    return found


@pytest.mark.parametrize('page', PAGES, ids=names)
def test_commands_parse(page):
    for module, words in commands(page):
        if module == 'trainer.judge' and words and '<' not in words[0]:
            judge.parser().parse_args(words)
            continue
        flags = defined(module) | {'help'}
        if module == 'trainer.compare':
            typed = quick.from_argv([module, *words])
            words = typed.argv[1:] if typed else words
        if module == 'launch' and words and not words[0].isupper():
            flags |= defined(f'launch.{words[0]}') | defined('launch.script')
            flags |= {*HANDED_ON} if words[0] == 'slurm' else set()
        given = {word[2:].partition('=')[0]: word.partition('=')[2] for word in words if word.startswith('--')}
        for flag in given:
            section, _, path = flag.partition('.')
            if section == 'study' and path and (ROOT / given.get('study', '').partition(':')[0]).is_file():
                assert path in study_fields(given['study']), f'--{flag} of {given["study"]}'
            elif section in ('config', 'study') and path:
                path = path.removeprefix('base.')
                known = path == 'seeds' or dotted.is_option(path) or path in dotted.types(default.get_config())
                assert known, f'--{flag} of {module}'
            else:
                assert {flag, flag.replace('-', '_')} & flags, f'--{flag} of {module}'
        for value in given.values():
            if re.match(r'(configs|examples)/', value):
                assert (ROOT / value.partition(':')[0]).is_file(), value


def study_fields(text: str) -> set[str]:
    """Returns the dotted fields of a study file, FILE or FILE:TEXT."""
    file, colon, argument = text.partition(':')
    study = config_files.load(ROOT / file, [argument] if colon else [])
    normalize(study)
    return {*dotted.types(study)}


def blocks() -> list:
    """Returns the Python code of every page, a parameter each."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding='utf-8')
        code = [textwrap.dedent(match) for match in re.findall(r'(?:^(?:    .*)?\n)+', text, re.MULTILINE)]
        own = [block for block in code if re.search(r'^(import|from) \w', block, re.MULTILINE)]
        found += [pytest.param(block, id=f'{names(page)}-{i}') for i, block in enumerate(own)]
    return found


@pytest.mark.parametrize('code', blocks())
def test_code_of_pages_is_python_and_its_configs_pass_every_check(code, tmp_path):
    code = re.sub(r'^(python -m|seedwise) .*$', '', code, flags=re.MULTILINE)  # a command may follow at once
    compile(code, 'page', 'exec')
    if 'def get_config' not in code:
        return
    file = tmp_path / 'mine.py'
    file.write_text(code, encoding='utf-8')
    config = config_files.load(file, [])
    if 'base' not in config:
        check(config)
        return
    normalize(config)
    grid.prepare(config, [])
    variants = grid.variants_of(config)
    assert len(variants) > 1
    check_report(config, variants)


def test_the_site_is_strict_about_dead_links(tmp_path):
    pytest.importorskip('sphinx', reason='the site is built with requirements-docs.txt')
    pages = tmp_path / 'docs'
    pages.mkdir()
    shutil.copy(ROOT / 'docs' / 'conf.py', pages)
    links = '\n\n'.join(f'{"!" if link.endswith("png") else ""}[text]({link})' for link in DEAD)
    (pages / 'index.md').write_text(f'# Title\n\n{links}\n', encoding='utf-8')
    command = [
        sys.executable,
        '-m',
        'sphinx',
        '-q',
        '-W',
        '--keep-going',
        '-b',
        'html',
        str(pages),
        str(tmp_path / 'html'),
    ]
    # As `make docs` calls it: the flags are part of what is tested.
    assert ' '.join(command[1:8]) in (ROOT / 'Makefile').read_text(encoding='utf-8')
    done = subprocess.run(command, capture_output=True, encoding='utf-8', timeout=120)
    assert done.returncode == 1
    warned = [line for line in done.stderr.splitlines() if 'WARNING' in line]
    assert len(warned) == len(DEAD), done.stderr


def test_every_module_folder_is_on_the_map():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    listed = set(re.findall(r'^\| `([\w/]+)/` \|', text, re.MULTILINE))
    folders = {path.parent.name for path in ROOT.glob('*/__init__.py')}
    folders |= {'benchmarks', 'docs', 'examples', 'notebooks', 'tests'}
    assert folders <= listed
    assert all((ROOT / folder).is_dir() for folder in listed)
