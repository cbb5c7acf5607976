"""What `pip install -e .` installs. The exact versions that were tested are in requirements.txt."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGES = ('seedwise', 'configs', 'data_pipeline', 'trainer', 'launch')

setup(
    name='seedwise',
    version='0.1.0',
    description='Which optimizer, loss, architecture or regulariser is better, with an interval around the answer.',
    long_description=Path(__file__).with_name('README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f'{name}.*')]),
    package_data={
        'data_pipeline': ['digits.npz'],
        'trainer.compare.report': ['templates/*'],
        'trainer.trained': ['page/*'],
    },
    entry_points={'console_scripts': ['seedwise = seedwise.__main__:main']},
    install_requires=[
        'tensorflow>=2.20,<2.22',
        'keras>=3.12,<4',
        'tensorflow-datasets>=4.9.10',
        'psutil',
        'importlib_resources',  # tensorflow-datasets imports it and does not declare it
        'ml-collections>=1.1',  # keys with dots: values of axes such as 0.1
        'pyyaml',
        'absl-py',
        'tensorboard',
        'scikit-learn',
        'scipy',
        'rich',
        'filelock>=4',  # where a file system has no locks: fallback_to_soft
        'portpicker',
        'statsmodels',
        'matplotlib',
        'jinja2',
        'markdown',
        'pandas',
        'pillow',
        'jsonschema',
        'werkzeug',  # serves the page of trainer.serve, as it serves TensorBoard
    ],
    extras_require={
        'test': [
            *('pytest', 'pytest-xdist', 'ruff', 'mypy', 'import-linter', 'hypothesis'),
            'playwright',  # drives the browser that looks at TensorBoard
            'kubernetes-validate',  # what manifests must look like
            *('nbclient', 'nbformat', 'ipykernel'),  # to run the notebook
            'nvidia-ml-py',  # counts GPUs
        ],
        'docs': ['sphinx', 'myst-parser', 'furo'],
        'export': ['tf2onnx', 'onnx', 'onnxruntime', 'ai-edge-litert'],
        'gpu': ['tensorflow[and-cuda]', 'nvidia-ml-py'],  # the second counts GPUs and reads how busy they are
        'ray': ['ray[default]'],
        'huggingface': ['datasets'],
        'optuna': ['optuna', 'cmaes'],  # samplers of trials that learn; CMA-ES is in a package of its own
        'peers': ['torch', 'jax'],  # what benchmarks.compare compares with
        'vertex': ['google-cloud-aiplatform'],  # for the tests alone: what a job must look like
    },
)
