"""Files and environment become one typed tree of settings, in which every value knows where it came from."""

from agent.configuration.environment import Variables
from agent.configuration.loaded import Loaded, load_settings

__all__ = ["Loaded", "Variables", "load_settings"]
