"""Which kinds of environments have code of their own; every other ``env_type`` is made by its declared commands."""

from __future__ import annotations

from collections.abc import Mapping

from agent.environments.backend import Backend
from agent.environments.declared import Declared
from agent.environments.gem_home import GemHome
from agent.environments.gopath import GoPath
from agent.environments.local_lib import LocalLib
from agent.environments.maven import Maven
from agent.environments.node_modules import NodeModules
from agent.environments.renv import Renv
from agent.environments.venv import Virtualenv

BACKENDS: Mapping[str, Backend] = {
    "virtualenv": Virtualenv(),
    "node_modules": NodeModules(),
    "gem_home": GemHome(),
    "gopath": GoPath(),
    "maven": Maven(),
    "local_lib": LocalLib(),
    "renv": Renv(),
}
DECLARED: Backend = Declared()
