"""One page that runs networks in a browser: the engine as WebAssembly, and the networks, inside of one file.

    write_page("page.html", low, against=wide)

The file opens from a disk, without a server, and asks nothing of any network. `engine.wasm.gz` is made by
``scripts/wasm``; ``engine.json`` says of what.
"""

from lowbit.ui.page import engine_module, write_page

__all__ = ["engine_module", "write_page"]
