"""How a PyTorch transformer reads its weights, on OLMo 3.

>>> import olmo_explain as oe
>>> oe.read_config("olmo3-7b").parameters
7298011136

The names behind this door stand in `__init__.pyi`. Each is loaded when it is first used, so that
asking for a config does not wait for torch. No module bears the name of what it gives (`tracing`
gives `trace`): importing the module would put it in the function's place.
"""

from typing import Any

from olmo_explain.doors import door

_load, __dir__, __all__ = door(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        return _load(name)
    except (ValueError, OSError) as error:  # of a library that reads its settings as it is imported
        from olmo_explain.settings import wrong_setting

        if wrong := wrong_setting(error):
            raise wrong from None
        raise
