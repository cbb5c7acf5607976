"""What the tests of a user's own data share: a dataset by its name, and the line that refuses one."""

import pytest

from data_pipeline import sources
from seedwise.errors import UserError


def load(name: str, data_dir, validation: int = 0, memory_limit_mb: int = 100, **options):
    """Returns the dataset of a name and its notes."""
    location = sources.locate(name, str(data_dir), options=options)
    location = sources.ensure_downloaded(location, memory_limit_mb=memory_limit_mb)
    return sources.load(location, validation=validation, memory_limit_mb=memory_limit_mb)


def refusal(name: str, data_dir, **options) -> str:
    """Returns the line that refuses a dataset."""
    with pytest.raises(UserError) as error:
        load(name, data_dir, **options)
    return str(error.value)
