"""Manifests as YAML."""

import sys

import yaml


class Text(str):
    """A string that is always quoted: PyYAML leaves 1e3 and 0o17 bare, which others read as numbers."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data) -> bool:
        return True


_Dumper.add_representer(Text, lambda dumper, text: dumper.represent_scalar('tag:yaml.org,2002:str', text, style='"'))


def to_yaml(manifest: dict) -> str:
    """Returns nested dicts and lists, with what the user typed as `Text`, as YAML in their order."""
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=sys.maxsize)
