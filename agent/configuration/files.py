"""Find the configuration file and its overlay, and read YAML without losing lines or the text of a value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.configuration.node import Node
from agent.errors import ConfigurationError
from agent.paths import source_tree

if TYPE_CHECKING:
    import yaml

DEFAULT_FILE = Path("/opt/attune/config/config.yaml")


def find_file(named: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read, or None when there is none (promise: later sources win).

    Raises:
        ConfigurationError: a file was named, by option or ``ATTUNE_CONFIG``, and doesn't exist.
    """
    if named is not None:
        return _existing(named, "--config")
    if environ.get("ATTUNE_CONFIG"):
        return _existing(Path(environ["ATTUNE_CONFIG"]), "ATTUNE_CONFIG")
    if DEFAULT_FILE.is_file():
        return DEFAULT_FILE
    root, here = source_tree(), Path.cwd()
    # The working directory of a foreign image is not ours to read; a developer's checkout is.
    if root is not None and here.is_relative_to(root) and (here / "config.yaml").is_file():
        return here / "config.yaml"
    return None


def find_overlay(base: Path | None, environment: str) -> Path | None:
    """Return ``config.<environment>.yaml`` beside the base file when it exists.

    Raises:
        ConfigurationError: the environment's name is not a plain file name.
    """
    if not environment or "/" in environment or environment.startswith("."):
        raise ConfigurationError(f"environment must be a plain name such as production, not {environment!r}")
    overlay = base.with_name(f"config.{environment}.yaml") if base is not None else None
    return overlay if overlay is not None and overlay.is_file() else None


def read_file(path: Path) -> Node:
    """Return the file's mapping.

    Raises:
        ConfigurationError: it can't be read, is not YAML, or is not a mapping.
    """
    import yaml  # only a start that has a file pays for it

    try:
        loader = yaml.SafeLoader(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise _malformed(path, error) from error
    try:
        root = loader.get_single_node()
        node = Node({}, str(path)) if root is None else _wrap(loader, root, path)
    except yaml.YAMLError as error:
        raise _malformed(path, error) from error
    except (RecursionError, ValueError) as error:
        raise ConfigurationError(f"{path}: is not valid YAML: {error}") from error
    finally:
        loader.dispose()
    if node.is_unset:
        return Node({}, str(path))
    if not node.is_mapping:
        raise ConfigurationError(f"{path}: must be a map of sections")
    return node


def _existing(path: Path, named_by: str) -> Path:
    if not path.is_file():
        raise ConfigurationError(
            f"{path} doesn't exist (named by {named_by})", hint="name a file that exists, or don't name one"
        )
    return path


def _wrap(loader: yaml.SafeLoader, node: Any, path: Path) -> Node:
    import yaml

    origin = f"{path}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        return Node({str(key.value): _wrap(loader, item, path) for key, item in node.value}, origin)
    if isinstance(node, yaml.SequenceNode):
        return Node([_wrap(loader, item, path) for item in node.value], origin)
    value = loader.construct_object(node)
    return Node(value, origin, None if value is None else node.value)


def _malformed(path: Path, error: Exception) -> ConfigurationError:
    mark = getattr(error, "problem_mark", None)
    place = f"{path}:{mark.line + 1}" if mark is not None else str(path)
    problem = getattr(error, "problem", None) or "unreadable text"
    return ConfigurationError(f"{place}: is not valid YAML: {problem}")
