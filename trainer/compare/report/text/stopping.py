"""How the number of seeds came about, and what that means for the verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from trainer.compare.analysis.rules import ANYTIME, FIXED
from trainer.compare.analysis.words import count, listed
from trainer.compare.report.text.questions import Question, computing_time
from trainer.compare.report.text.reproduce import duration
from trainer.compare.report.text.sentences import MOST_SEEDS_NAMED

#: Unanswered questions that are listed.
MOST_LISTED = 8


@dataclass(frozen=True)
class Stopping:
    """How the number of seeds came about.

    `rule`: of `rules.RULES`. `looks`: how many seeds this report and earlier ones have judged. `until_decided`: whether
    seeds were added in rounds. `ended`: why no more were run: 'decided', 'seeds' or 'time' (used up), 'failed', 'stopped',
    or '': all that were planned have finished. `planned`: seeds of a variant, at the most. `budget`: in words. `running`:
    runs that are to go while the study runs, of those that are known. `first`: seeds that were fixed before anybody looked;
    0: all. `taken_away`: the study was once begun with more seeds. `picked`: those that were taken away are not the last
    ones, so that results may have chosen the first ones too.
    """

    rule: str = FIXED
    looks: Sequence[int] = ()
    until_decided: bool = False
    ended: str = ''
    planned: int = 0
    budget: str = ''
    running: int = 0
    first: int = 0
    taken_away: bool = False
    picked: bool = False


def sentences(how: Stopping, asked: Sequence[Question], runs: pd.DataFrame, seeds: str) -> list[str]:
    """Returns sentences: the rule, and whether somebody looked before; why it ended; what was not answered.

    Args:
      how: how the number of seeds came about.
      asked: what the study asks.
      runs: the finished runs.
      seeds: the number of seeds of a variant in words.
    """
    found = []
    at_every_look = (
        'Verdicts and intervals of differences hold at every look (anytime-valid); intervals of single means, q and effects '
        'are those of a fixed number of seeds.'
    )
    open_ = [question for question in asked if not question.answered]
    if how.running and how.until_decided:
        found.append(f'Seeds are added until decided: {seeds} so far. {at_every_look}')
        found.append(f'{len(open_)} of {count(len(asked), "question")} {"is" if len(open_) == 1 else "are"} open.')
    elif how.until_decided:
        found.append(f'Seeds were added until decided: {seeds}, {count(len(runs), "run")}. {at_every_look}')
        found.append(_why(how, asked, open_))
    else:
        before = [n for n in how.looks if n != runs['seed'].nunique()]
        if how.taken_away:
            found.append(
                'This study was begun with other seeds than these: somebody has seen their results go by. The tests of a '
                f'fixed number of seeds do not hold then, so this page does not use them. {at_every_look}'
            )
        elif how.rule == ANYTIME and before:
            found.append(
                f'Somebody looked before: this study was judged with {listed([str(n) for n in before])} seeds. The tests of '
                f'a fixed number of seeds err more often than 5% if one looks twice, so this page does not use them. '
                f'{at_every_look}'
            )
        elif how.rule == ANYTIME and how.ended != 'stopped':
            found.append(f'Somebody looked before, while seeds were added until decided. {at_every_look}')
        if how.ended in ('time', 'failed', 'stopped'):
            judged = runs['seed'].nunique()
            done = f'{judged} of {count(how.planned, "seed")} {"is" if judged == 1 else "are"}'
            set_by = {
                'time': 'The clock set their number, not the results.',
                'failed': 'Seeds from the first one with a failed run on are left out.',
            }.get(how.ended, at_every_look)
            found.append(f'{_ended_words(how)}: {done} judged. {set_by}')
    if how.until_decided or how.ended:
        found += [_unanswered(question, runs) for question in open_[:MOST_LISTED]]
        if len(open_) > MOST_LISTED:
            found.append(f'And {len(open_) - MOST_LISTED} more questions are open.')
    return found


def _ended_words(how: Stopping) -> str:
    return {
        'time': f'The time ({how.budget}) was used up' if how.budget else 'The time was used up',
        'seeds': f'A variant gets at most {count(how.planned, "seed")}, which are used up',
        'failed': 'Runs failed, and their variants get no more seeds',
        'stopped': 'It was stopped before the end; the same command goes on',
    }.get(how.ended, '')


def _why(how: Stopping, asked: Sequence[Question], open_: Sequence[Question]) -> str:
    what = count(len(asked), 'question')
    if not asked:
        return f'There is nothing to compare yet. {_ended_words(how)}.'
    if not open_:
        return f'All {what} are answered.' if len(asked) != 1 else 'The question is answered.'
    waiting = any(question.waits_for for question in open_)
    reason = _ended_words(how) if waiting else 'More seeds would not answer them'
    return f'{len(open_)} of {what} {"is" if len(open_) == 1 else "are"} open. {reason}.'


def _unanswered(question: Question, runs: pd.DataFrame) -> str:
    text = f'Open: {question.name}.'
    if question.waits_for:
        variants = len(question.waits_for)
        if question.more is None:
            text += f' It waits for seeds of {count(variants, "variant")}; how many is not known.'
        elif question.more > MOST_SEEDS_NAMED:
            text += f' Over {MOST_SEEDS_NAMED:,} seeds would be needed: the difference is too close to the line.'
        else:
            each = round(question.more, -1) if question.more > 100 else question.more  # an estimate has few digits
            text += f' About {count(each, "more seed")} of {count(variants, "variant")} would answer it'
            seconds = computing_time(question, runs)
            took = f', {duration(seconds)} one after the other' if seconds is not None else ''
            text += f': {count(each * variants, "run")}{took}.'
    return f'{text} {question.stuck}'.strip()
