"""What the search page looks through: every section of the book, and words that mean the same.

Sphinx's index knows in which pages a word stands, not where in them; and what it shows of a page it
has to fetch, which a page that is a file may not. This writes the text of all sections into one
script, which the search page alone loads (book/_static/find.js reads it).
"""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

# In each line words that are looked for together; the first that a reader types counts most.
SAME = """
bug, wrong, fault, mistake, error, crime
rope, rotary, rotary embedding, positional encoding, positional embedding, position
yarn, long context, context length, rope scaling
mlp, ffn, feed-forward, feed forward, gate_proj
swiglu, silu, gate
gqa, grouped-query, grouped query, mqa, k_proj
rmsnorm, layernorm, layer norm, normalization, normalisation, norm
qk-norm, q_norm, k_norm
lm_head, unembedding, logits
embed_tokens, embedding, embeddings
tokenizer, tokenization, tokenisation, bpe, token ids
sliding window, local attention, swa, sliding
kv cache, cache, decoding
flops, macs, compute, cost, price
memory, ram, vram
parameters, params, weights
safetensors, checkpoint, file format
ablation, ablate, switch off, knock out
induction, copying, in-context learning
interpretability, circuits, mechanistic
residual stream, residual, skip connection, stream
hook, capture, activations
exercise, exercises, quiz, question
install, installation, setup, make lab
class, workshop, teaching, course
cite, citation, bibtex, reference
colab, binder, launch
offline, no network, without a network
speed, benchmark, benchmarks, performance
temperature, sampling, generate
"""


def sections(app: Sphinx) -> list[list[str]]:
    """Of each section: its address, the title of its page, its own title, its text."""
    found = []
    for docname in sorted(app.env.found_docs):
        page, title = app.builder.get_target_uri(docname), app.env.titles[docname].astext()
        for at, section in enumerate(app.env.get_doctree(docname).findall(nodes.section)):
            own = section.next_node(nodes.title).astext()
            anchor = f"#{section['ids'][0]}" if at else ""
            found.append([page + anchor, title, own, text(section)])
    return found


def text(section: nodes.section) -> str:
    """What a reader sees of a section, its code last; nothing of the sections within it.

    HTML is no text. Where it opens `<details>`, as over a hint or a solution, nothing counts up to
    the HTML that closes it.
    """
    prose: list[str] = []
    code: list[str] = []
    folds = 0

    def collect(node: nodes.Node) -> None:
        nonlocal folds
        if isinstance(node, nodes.raw):
            folds += node.astext().count("<details") - node.astext().count("</details")
        elif isinstance(node, nodes.table):
            pass  # its cells in a row are no sentence
        elif isinstance(node, (nodes.Text, nodes.TextElement)):
            seen = (
                part for part in node.findall(nodes.Text) if not isinstance(part.parent, nodes.raw)
            )
            if not folds:
                to = code if isinstance(node, nodes.literal_block) else prose
                to.append("".join(part.astext() for part in seen))
        elif "cell_output" not in node.get("classes", []):
            for child in node.children:
                collect(child)

    for child in section.children:
        if not isinstance(child, (nodes.section, nodes.title)):
            collect(child)
    return re.sub(r"\s+", " ", " ".join(prose + code)).strip()


def write(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    same = [line.split(", ") for line in SAME.strip().splitlines()]
    data = json.dumps([sections(app), same], ensure_ascii=False, separators=(",", ":"))
    target = Path(app.outdir, "_static", "sections.js")
    target.write_text(f"const [SECTIONS, SAME] = {data};\n", encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", write, priority=900)  # once scripts were made smaller
    return {"parallel_read_safe": True, "parallel_write_safe": True}
