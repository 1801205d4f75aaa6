"""What ``3.12`` and ``>=3.11,<4`` mean: versions, constraints, and the best version for a constraint (pure).

The grammar and its odd corners are the reference's, which existing packs rely on, with two corrections: a bare major
``20`` means any ``20.x.y`` and ``~3`` any ``3.x.y``. What the reference refuses and other tools write is understood as
they mean it: ``==3.11.*``, ``!=3.10``, ``~=3.12``, ``~> 3.12``, ``>=3.12 <4``, ``3.12 || 3.13``.
"""

from agent.versions.best import Candidate, matches_row, select_best_version
from agent.versions.comparator import Comparator
from agent.versions.constraint import Constraint, matches_constraint, parse_constraint
from agent.versions.version import Version, components, parse_version

__all__ = [
    "Candidate",
    "Comparator",
    "Constraint",
    "Version",
    "components",
    "matches_constraint",
    "matches_row",
    "parse_constraint",
    "parse_version",
    "select_best_version",
]
