"""fgbench: does synthetic data, aimed at miscalibrated bins, make a classifier better calibrated?

`__init__.pyi` lists the public names, which plugins and notebooks import from here. Each is loaded
from its module on first use, so `import fgbench` takes milliseconds.
"""

import lazy_loader

from fgbench._version import __version__

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *_names]
