"""Known ways to get OLMo wrong, by name, each a small variation of the reference.

>>> FAULTS["window-minus-one"].says
'sliding layers see one position too few: sliding_window counts the current token'
"""

from olmo_explain.by_hand import layer_faults, mask_faults, rope_faults
from olmo_explain.by_hand.fault import Fault, Form
from olmo_explain.checkpoint import OlmoConfig

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for module in (rope_faults, mask_faults, layer_faults)
    for fault in vars(module).values()
    if isinstance(fault, Fault)
}
"""Every known fault: a sentence about it, what to look at, and where it really happened."""


def known_faults(config: OlmoConfig, names: frozenset[str] = frozenset()) -> dict[str, list[Form]]:
    """The faults that an OLMo of this config can have, and the forms of each.

    `names`: of the checkpoint's tensors, where a fault may take one that the config has no use for.

    >>> known_faults(read_config("tiny"))["norm-eps"][0].detail
    'rms_norm_eps 1e-05'
    """
    found = {name: fault.forms(config, names) for name, fault in FAULTS.items()}
    return {name: forms for name, forms in found.items() if forms}
