"""Synthetic runs and trials near the papers' numbers."""

import importlib
import itertools

import numpy as np
import pandas as pd

DATASET = {'name': 'mnist', 'source': 'tfds', 'fingerprint': 'a1b2', 'train': 60000, 'validation': 0, 'test': 10000}
HOST = {'name': 'here', 'system': 'Linux', 'cpu': 'a processor', 'cores': 2}


def load(name: str):
    return importlib.import_module(f'configs.studies.{name}').get_config()


def variants(study) -> list[dict[str, str]]:
    """The labels of each variant, `tuning` included."""
    if study.get('variants'):
        return [{'variant': name} | v['labels'].to_dict() for name, v in study.variants.items()]
    axes = {axis: list(values) for axis, values in study.axes.items()}
    if study.get('tune'):
        axes['tuning'] = ['all', 'default', 'rate']
    return [
        {'variant': '-'.join(names)} | dict(zip(axes, names, strict=True))
        for names in itertools.product(*axes.values())
    ]


def made_up(study, seeds: int = 3) -> pd.DataFrame:
    """Runs of a study: the paper's numbers if there are any, otherwise others; noise that the pooled losses share."""
    rng, rows = np.random.default_rng(0), []
    published = {tuple(sorted(row['variant'].items())): row for row in study.get('paper', {}).get('table', ())}
    epochs = 2 if study.base.epochs is None else min(study.base.epochs, 20)
    for i, labels in enumerate(variants(study)):
        loss = labels.pop('loss', None)
        shared = np.random.default_rng([sum(map(ord, ''.join(v for k, v in labels.items() if k != 'variant')))])
        labels |= {'loss': loss} if loss else {}
        shared_rate = shared.uniform(0.2, 0.8)
        key = tuple(sorted((k, v) for k, v in labels.items() if k != 'variant'))
        paper = published.get(key, {})
        if loss:
            paper = published[tuple(sorted((k, 'CCE' if k == 'loss' else v) for k, v in key))]
        mean = paper.get('test_accuracy', 0.97 + 0.02 * shared.uniform())
        mean = 0.11 if 'zeros' in labels['variant'] or 'ones' in labels['variant'] else mean
        mean_loss = paper.get('test_loss', 3.2 * (1 - mean))
        for seed in range(seeds):
            noise = shared.normal(0, 0.0008) if not loss else np.random.default_rng([i // 3, seed]).normal(0, 0.0008)
            noise += rng.normal(0, 0.00005)
            curve = 1 - 0.05 * shared_rate ** np.arange(epochs)
            rows.append(
                labels
                | {'seed': seed, 'status': 'completed', 'parameters': 50890, 'dataset': DATASET, 'host': HOST}
                | {'test_accuracy': mean + noise, 'test_loss': mean_loss - 3 * noise}
                | {'validation_accuracy': mean + 0.5 * noise, 'validation_loss': mean_loss - noise}
                | {'train_accuracy': mean + 0.01, 'train_loss': mean_loss * 0.6}
                | {'seconds_training': 2.5, 'seconds_total': 3.0, 'git_revision': 'abc', 'config_hash': 'def'}
                | {'versions': {'python': '3.11', 'tensorflow': '2.21.0'}}
                | {
                    'history': [
                        {'epoch': e + 1.0, 'step': 469 * (e + 1), 'seconds': 0.5 * (e + 1)}
                        | {'train_accuracy': mean * c, 'train_loss': mean_loss / c + noise}
                        | (
                            {'validation_accuracy': mean * c + noise, 'validation_loss': mean_loss / c - 3 * noise}
                            if study.base.data.validation
                            else {'validation_accuracy': None, 'validation_loss': None}
                        )
                        | (
                            {'test_accuracy': mean * c, 'test_loss': mean_loss / c}
                            if study.base.test_every_evaluation
                            else {}
                        )
                        for e, c in enumerate(curve)
                    ]
                }
            )
    return pd.DataFrame(rows)


def made_up_trials(study) -> pd.DataFrame | None:
    """Trials of three optimizers with a broad optimum of the learning rate; too high a rate diverges."""
    if not study.get('tune'):
        return None
    rng, rows = np.random.default_rng(1), []
    for tier, spaces in study.tune.tiers.items():
        for (name, space), model in itertools.product(spaces.items(), study.axes.model):
            if name not in ('Adam', 'Adamax', 'SGD'):
                continue
            _, low, high = space.optimizer.learning_rate
            width = rng.uniform(0.5, 2)
            for rate in np.exp(np.linspace(np.log(low), np.log(high), study.tune.trials)):
                off = abs(np.log10(rate / np.sqrt(low * high))) / width
                value = np.nan if off > 2.5 else 0.98 - 0.02 * off**2
                row = {
                    'optimizer': name,
                    'model': model,
                    'tuning': tier,
                    'learning_rate': rate,
                    'low': low,
                    'high': high,
                }
                row |= {'status': 'completed' if np.isfinite(value) else 'diverged', 'seed': 0}
                rows.append(row | {'validation_accuracy': value, 'validation_loss': 3 * (1 - value)})
    return pd.DataFrame(rows)


def diverged(runs: pd.DataFrame, which) -> pd.DataFrame:
    """The runs, of which those selected diverged after their first evaluation."""
    metrics = [column for column in runs if column.endswith(('_accuracy', '_loss'))]
    runs = runs.astype(dict.fromkeys(metrics, object))
    runs.loc[which, metrics] = None
    runs.loc[which, 'status'] = 'diverged'
    return runs.assign(history=[h[: 1 if bad else None] for h, bad in zip(runs['history'], which, strict=True)])
