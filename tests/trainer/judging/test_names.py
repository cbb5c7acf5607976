"""Which numbers in the names of runs are seeds, and which belong to the names."""

import pytest

from trainer.judging.names import examples, named
from trainer.judging.read import read

SPLIT = {
    'adam_0 adam_1 sgd_0 sgd_1': 'adam:0 adam:1 sgd:0 sgd:1',
    'adam-0 adam-1 sgd-0 sgd-1 sgd-7': 'adam:0 adam:1 sgd:0 sgd:1 sgd:7',
    'adam_s0 adam_s1 sgd_s0 sgd_s1': 'adam:0 adam:1 sgd:0 sgd:1',
    'adam_seed2 adam.seed3 sgd-run-7 rep5': 'adam:2 adam:3 sgd:7 rep5:5',
    'adam/2 adam/4 sgd/3 sgd/seed=5': 'adam:2 adam:4 sgd:3 sgd:5',
    'adam_lr_1e-3_0 adam_lr_1e-3_1 adam_lr_1e-4_0 adam_lr_1e-4_1': (
        'adam_lr_1e-3:0 adam_lr_1e-3:1 adam_lr_1e-4:0 adam_lr_1e-4:1'
    ),
    'resnet18_0 resnet18_1 resnet34_0 resnet34_1': 'resnet18:0 resnet18:1 resnet34:0 resnet34:1',
    'resnet-18/seed0 resnet-34/seed0': 'resnet-18:0 resnet-34:0',
}

WHOLE = [
    'resnet18 resnet34 resnet50 vgg11 vgg16 vgg19',
    'resnet-18 resnet-34 vgg-16 vgg-19',
    'vit_s16 vit_s32 swin_b4 swin_b7',
    'lr_1e-3 lr_2e-3 lr_1e-4',
    'lr0.1 lr0.01 lr0.2',
    'resnet-18 resnet-18 resnet-34',  # with seeds in a column
    'prep3 adams3',
]


@pytest.mark.parametrize('names', SPLIT)
def test_a_seed(names):
    found = named([name.split('/') for name in names.split()])
    assert ' '.join(f'{variant}:{seed}' for variant, seed in found) == SPLIT[names]


@pytest.mark.parametrize('names', WHOLE)
def test_a_part_of_a_name(names):
    assert named([[name] for name in names.split()]) == [(name, None) for name in names.split()]


def test_names_that_were_split_are_listed(tmp_path):
    assert examples(['a'], [('a', None)]) == []
    rows = [f'{name}-{i},finished,0.{i}' for name in ('w', 'x', 'y', 'z') for i in range(3)]
    (tmp_path / 'a.csv').write_text('\n'.join(['Name,State,val_acc', *rows]), encoding='utf-8')
    expected = "Names: 'w-0' is 'w', seed 0, 'x-0' is 'x', seed 0, 'y-0' is 'y', seed 0 and 1 more."
    assert expected in read([tmp_path / 'a.csv']).guess
