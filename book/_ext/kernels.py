"""Kernels that run the notebooks encrypt what they say, and so the build is silent.

ipykernel 7 warns of every kernel that talks over plain TCP; jupyter_client 8.10 encrypts only when
it is asked to.
"""

from jupyter_client.manager import KernelManager
from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict:
    KernelManager.transport_encryption.default_value = "auto"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
