"""`tiny` in the page: the engine in JavaScript, and the scripts that bring it to a reader.

`olmo.js` is `by_hand/reference.py` step by step, and `rope.js` is `by_hand/rope.py`; `weights.js`
reads safetensors, `tokenizer.js` texts; `session.js` remembers what an unchanged prompt needs, and
`asked.js` is what it may be asked for; `console.js` answers a reader, and `page.js` is what a page
has before the first question. `remote.js` and `read_head.js` read one head of a model elsewhere.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
