"""What the operator's commands ask of a deployment, and the way that needs its database; the other is ``client``."""
