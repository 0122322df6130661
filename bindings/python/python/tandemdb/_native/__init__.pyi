from . import arrow as arrow
from . import collections as collections
from . import common as common
from . import durable as durable
from . import engine as engine
from . import experiments as experiments
from . import extensions as extensions
from . import features as features
from . import search as search
from . import statistics as statistics
from . import syncdb as syncdb
from . import transformers as transformers
from . import vectordb as vectordb

__version__: str
