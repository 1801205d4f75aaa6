"""What runs before the entry script, instead of PyInstaller's own: the importer of frozen modules, and nothing else.

PyInstaller's version also lists the program's directory, imports ctypes to patch it and removes VIRTUAL_ENV: that costs
time at every start, and the container's environment is not ours to change.
"""

import sys

import pyimod02_importers

pyimod02_importers.install()
sys.frozen = True
# Nearly everything is in our archive: look there first, and only then in the directory of extension modules.
sys.path.sort(key=lambda entry: entry != sys._MEIPASS)
