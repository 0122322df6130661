from . import common as common
from . import syncdb as syncdb
from . import vectordb as vectordb

__version__: str
