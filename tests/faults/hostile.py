"""Tables and studies of a stranger whose names, claims and docstrings try to become code, on the way to a report's page."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import strategies as st

from tests.faults import forked

#: What becomes code where it is not escaped. Nothing of it may be run or linked; `boom49` is what a template would make.
STRINGS = (
    *('<script>boom()</script>', '"><img src=x onerror=boom()>', '<svg/onload=boom()>', '</style><script>boom()'),
    *(
        'javascript:boom()',
        '[x](javascript:boom())',
        '[x]: javascript:boom()',
        '<javascript:boom()>',
        "' onclick='boom()",
    ),
    *('{{ "boom" ~ 49 }}', '{% raw %}', '{0.__class__}', '%s%n', '%(x)s', '${HOME}', '$(boom)', '`boom`', '!boom'),
    *('$\\frac{', '$x$', '$', '\\input{/etc/passwd}', '\\', ']]>', '-->', '<!--', '&lt;script&gt;', '&#60;b&#62;'),
    *('../../boom', '/etc/boom', 'a|b', '=1+1', '-', '--report=boom', 'C:\\boom', '\u202eboom', 'ä', 'x' * 300, '\t'),
    '\x1b]0;boom\x07',
    *('@pd.io.common.os.system("touch boom")', '__import__("os").system("touch boom")', '().__class__', 'a\nb'),
)

#: Links of our own in a page.
OWN_LINKS = re.compile(r'#[\w.:-]*|claims\.json|table\.(csv|md|tex)|plots/')

#: Elements that run, load or send something.
ACTIVE = (
    'script',
    'iframe',
    'object',
    'embed',
    'form',
    'base',
    'link',
    'img',
    'image',
    'foreignobject',
    'animate',
    'set',
)


def text() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(STRINGS), st.tuples(*[st.sampled_from((*STRINGS, ' ', 'A'))] * 2).map(''.join))


@st.composite
def tables(draw) -> tuple[str, str, str]:
    """Draws a table of runs, a docstring and a claim's expression."""
    a, b, metric, quote = (draw(text()) for _ in range(4))
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(['variant', 'seed', 'status', 'test_accuracy', 'test_loss'])
    for seed in range(3):
        writer.writerow([a, seed, 'completed', 0.9 + 0.01 * seed, 0.5])
        writer.writerow([f'{b} 2', seed, 'completed', 0.8 + 0.02 * seed, 0.5])
    study = {
        'study': {
            'variants': {a: {'overrides': {}, 'labels': {'of': b}}, f'{b} 2': {'overrides': {}, 'labels': {'of': a}}},
            'seeds': 3,
            'claims': [
                {'id': quote, 'quote': quote, 'kind': 'better', 'a': {'variant': a}, 'b': {'variant': f'{b} 2'}}
                | ({'metric': metric, 'goal': 'max'} if draw(st.booleans()) else {})
            ],
        },
        'study_name': draw(text()),
        'dataset_name': draw(text()),
        'command': draw(text()),
        'about': '\n\n'.join(draw(st.lists(text(), max_size=4))),
    }
    return rows.getvalue(), json.dumps(study), quote


class Page(HTMLParser):
    """Collects what a page would run, load or link to."""

    def __init__(self):
        super().__init__()
        self.faults: list[str] = []
        self.policy = ''

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or '' for name, value in attributes}
        if tag in ACTIVE and not (tag == 'image' and given.get('xlink:href', '').startswith('data:')):
            self.faults.append(f'<{tag}>')
        self.policy = self.policy or given.get('content', '') * (given.get('http-equiv') == 'Content-Security-Policy')
        for name, value in given.items():
            if name.startswith('on'):
                self.faults.append(f'{tag} {name}={value!r}')
            if name in ('href', 'xlink:href', 'src', 'action', 'formaction', 'srcset') and not OWN_LINKS.fullmatch(
                value
            ):
                self.faults.append(f'{tag} {name}={value!r}')


def faults_of(html: str) -> list[str]:
    """Returns what of a page is not ours."""
    page = Page()
    page.feed(html)
    page.close()
    found = list(page.faults)
    if "default-src 'none'" not in page.policy:
        found.append('no content policy')
    if 'boom49' in html:
        found.append('a template was filled in')
    return found


def check(drawn: tuple[str, str, str], folder: Path) -> str:
    """Judges a table as it is, and as a study's report; returns the fault, '' if there is none."""
    table, study, _ = drawn
    (folder / 'study').mkdir()
    (folder / 'study' / 'runs.csv').write_text(table, encoding='utf-8')
    (folder / 'study' / 'study.json').write_text(study, encoding='utf-8')
    (folder / 'table.csv').write_text(table, encoding='utf-8')
    for given, name in ((folder / 'study', 'of_study'), (folder / 'table.csv', 'of_table')):
        report = folder / name
        ended = forked.run('trainer.judge', [str(given), f'--report={report}'], seconds=120, folder=folder)
        if fault := ended.fault((0, 1, 3)):
            return f'{fault}: {(ended.out + ended.err)[-1500:]}'
        if '\x1b' in ended.out + ended.err:
            return f'{name}: a command for the terminal'
        for page in report.glob('index.html'):
            if found := faults_of(page.read_text(encoding='utf-8')):
                return f'{name}: {found[:3]}'
        if list(folder.rglob('boom*')):
            return f'{name}: it ran code'
        for figure in report.glob('plots/*.svg'):
            page = Page()
            page.feed(figure.read_text(encoding='utf-8'))
            ElementTree.parse(figure)
            if page.faults:
                return f'{name}: {figure.name}: {page.faults[:3]}'
    return ''
