"""How a PyTorch transformer reads its weights, on OLMo 3.

>>> import olmo_explain as oe
>>> oe.read_config("olmo3-7b").parameters
7298011136

The names behind this door stand in `__init__.pyi`. Each is loaded when it is first used, so that
asking for a config does not wait for torch. No module bears the name of what it gives (`tracing`
gives `trace`): importing the module would put it in the function's place.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
