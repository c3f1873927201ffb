"""What ran: counts, order, weights read, on OLMo and on a reader's own modules."""

import gc
import tracemalloc
from threading import Event, Thread

import pytest
import torch
from support.random_olmo import build, olmo3
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from olmo_explain.errors import UsageError
from olmo_explain.running import load, prompt_ids, trace


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize(
    ("name", "held", "layers"), [("olmo3-7b", 7_298_011_136, 32), ("olmo3-32b", 32_233_522_176, 64)]
)
def test_a_preset_is_traced_without_weights(name, held, layers):
    model, tokenizer = load(name)
    ran = trace(model, input_ids=prompt_ids(model, tokenizer, length=2))
    rotary = ran.counts.pop("Olmo3RotaryEmbedding")
    assert ran.counts["Linear"] == 7 * layers + 1
    assert ran.counts["Olmo3RMSNorm"] == 4 * layers + 1
    assert ran.counts["SiLUActivation"] == layers
    assert ran.counts["Embedding"] == 1
    assert rotary in (1, 2)
    V, D = model.config.vocab_size, model.config.hidden_size
    assert ran.parameters_held == held
    assert ran.parameters_read == held - V * D + 2 * D
    assert ran.bytes_read == 2 * ran.parameters_read


def test_the_7b_reads_what_the_book_says():
    model, _ = load("olmo3-7b")
    assert trace(model, prompt_ids(model, None, length=2)).parameters_read == 6_887_280_640


def test_calls_come_in_order_with_shapes_weights_and_flops():
    model, tokenizer = load("tiny")
    ids = prompt_ids(model, tokenizer, "Hello world")
    T, D, V = ids.shape[1], model.config.hidden_size, model.config.vocab_size
    calls = trace(model, ids).calls
    assert [call.index for call in calls] == list(range(len(calls)))
    assert calls[0].path == "model.embed_tokens"
    assert calls[0].input_shapes == ((1, T),) and calls[0].output_shape == (1, T, D)
    assert calls[-1].path == "lm_head" and calls[-1].weight == "lm_head.weight"
    assert calls[-1].flops == 2 * T * D * V
    layers = [call.path.split(".")[2] for call in calls if ".layers." in call.path]
    assert layers == sorted(layers, key=int)


def test_a_row_looked_up_twice_is_read_once():
    embedding = nn.Embedding(10, 4)
    assert trace(embedding, torch.tensor([[3, 3, 5]])).parameters_read == 2 * 4


def test_shared_weights_are_read_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.once = nn.Linear(4, 4, bias=False)
            self.again = nn.Linear(4, 4, bias=False)
            self.again.weight = self.once.weight

        def forward(self, x):
            return self.again(self.once(self.once(x)))

    ran = trace(Tied(), torch.ones(1, 4))
    assert ran.total == 3
    assert ran.parameters_held == ran.parameters_read == 16


def test_a_model_that_raises_leaves_no_hook_and_names_the_module():
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("no luck")

    model = nn.Sequential(nn.Linear(2, 2), Fails())
    with pytest.raises(RuntimeError, match="no luck") as caught:
        trace(model, torch.ones(1, 2))
    assert caught.value.__notes__ == ["It was raised in 1."]
    assert hooks(model) == 0


def test_a_trace_changes_nothing():
    model, tokenizer = load("tiny")
    ids = prompt_ids(model, tokenizer, "Hello world")
    with torch.no_grad():
        before = model(ids).logits
        trace(model, ids)
        after = model(ids).logits
    assert torch.equal(before, after) and hooks(model) == 0


@pytest.mark.parametrize("make", ["mlp", "encoder", "llama"])
def test_a_readers_own_module(make):
    model, inputs = {
        "mlp": lambda: (
            nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)),
            torch.ones(4, 3),
        ),
        "encoder": lambda: (
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            torch.ones(1, 3, 8),
        ),
        "llama": lambda: (
            LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=20,
                    hidden_size=8,
                    intermediate_size=16,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                )
            ),
            torch.tensor([[1, 2, 3]]),
        ),
    }[make]()
    ran = trace(model, inputs)
    assert ran.total > 0
    # nn.MultiheadAttention uses the weight of its out_proj without calling it.
    unseen = model.self_attn.out_proj if make == "encoder" else nn.Module()
    if make != "llama":  # which looks up rows of an embedding
        assert ran.parameters_held - ran.parameters_read == sum(
            p.numel() for p in unseen.parameters()
        )


def test_operators_come_in_order_with_their_module_and_weights():
    model, tokenizer = load("tiny")
    ran = trace(model, prompt_ids(model, tokenizer, "Hello world"), ops=True)
    operators = ran.operators
    assert [operator.index for operator in operators] == list(range(len(operators)))
    assert (operators[0].op, operators[0].path) == ("aten.embedding.default", "model.embed_tokens")
    assert operators[0].weights == ("model.embed_tokens.weight",)
    last = [operator for operator in operators if not operator.view][-1]
    assert (last.name, last.path, last.weights) == ("mm", "lm_head", ("lm_head.weight",))
    # Each Linear is one product with its own weight, and every weight comes up somewhere.
    products = {o.path: o.weights for o in operators if o.name == "mm"}
    assert products == {c.path: (c.weight,) for c in ran.calls if c.type == "Linear"}
    touched = {name for operator in operators for name in operator.weights}
    assert touched == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("name", ["tiny", "olmo3-7b"])
def test_watching_operators_changes_no_count(name):
    model, _ = load(name)
    ids = prompt_ids(model, None, length=3)
    plain, watched = trace(model, ids), trace(model, ids, ops=True)
    assert plain.operators is None and "operators" not in plain.to_dict()
    assert watched.counts == plain.counts
    assert (watched.parameters_read, watched.bytes_read) == (
        plain.parameters_read,
        plain.bytes_read,
    )
    assert set(watched.to_dict()["operators"][0]) >= {"index", "op", "path", "weights"}
    assert hooks(model) == 0


def test_weights_on_the_meta_device_are_told_apart():
    model, _ = load("olmo3-7b")
    operators = trace(model, prompt_ids(model, None, length=2), ops=True).operators
    by_path = {operator.path: operator.weights for operator in operators if operator.name == "mm"}
    assert len(by_path) == 225
    assert all(weights == (f"{path}.weight",) for path, weights in by_path.items())


def test_weights_that_share_a_storage_are_told_apart():
    both = torch.arange(16.0)
    model = nn.Sequential(nn.Linear(2, 4, bias=False), nn.Linear(4, 2, bias=False))
    model[0].weight = nn.Parameter(both[:8].view(4, 2))
    model[1].weight = nn.Parameter(both[8:].view(2, 4))
    operators = trace(model, torch.ones(1, 2), ops=True).operators
    assert [o.weights for o in operators if o.name == "mm"] == [("0.weight",), ("1.weight",)]


def test_a_weight_used_by_a_function_is_seen_by_its_operator():
    class Borrows(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4, bias=False)

        def forward(self, x):
            return torch.tanh(nn.functional.linear(x, self.inner.weight))

    model, x = Borrows(), torch.ones(1, 4)
    assert trace(model, x).parameters_read == 0  # no module was called
    watched = trace(model, x, ops=True)
    assert watched.parameters_read == 16
    assert [(o.name, o.path, o.weights) for o in watched.operators if not o.view] == [
        ("mm", "", ("inner.weight",)),
        ("tanh", "", ()),
    ]


def test_weights_are_found_in_lists_in_parts_and_by_keyword():
    class Uses(nn.Module):
        def __init__(self):
            super().__init__()
            self.whole = nn.Parameter(torch.ones(2, 3))
            self.part = nn.Parameter(torch.arange(9.0)[3:6])  # its storage holds others' numbers
            self.register_buffer("beside", self.part.detach().as_strided((3,), (1,), 0))
            self.empty = nn.Parameter(torch.ones(0, 3))

        def forward(self, x):
            rows = torch.cat([x, self.whole, self.empty])
            twice = torch.stack([self.part, self.part])
            return rows, twice, torch.neg(self.beside), torch.neg(x[0], out=self.whole[0])

    ran = trace(Uses(), torch.ones(1, 3), ops=True)
    assert [(o.name, o.weights) for o in ran.operators if not o.view] == [
        ("cat", ("whole",)),
        ("stack", ("part",)),
        ("neg", ()),
        ("neg", ("whole",)),
    ]
    assert ran.parameters_held == ran.parameters_read == 9


def test_a_copy_hides_the_weight_that_it_copies():
    class Casts(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16))

        def forward(self, x):
            return x @ self.weight.float()

    operators = trace(Casts(), torch.ones(1, 2), ops=True).operators
    assert [(o.name, o.weights) for o in operators] == [("_to_copy", ("weight",)), ("mm", ())]


def test_a_model_that_raises_is_watched_no_longer():
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("no luck")

    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), Fails()))
    with pytest.raises(RuntimeError, match="no luck") as caught:
        trace(model, torch.ones(1, 2), ops=True)
    assert caught.value.__notes__ == ["It was raised in 0.1."]
    assert hooks(model) == 0
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


@pytest.mark.parametrize("ops", [False, True])
def test_what_it_keeps_does_not_grow_with_the_prompt(ops):
    """Shapes and names of the same calls, whatever their sizes; no tensor, so no activation."""
    model = build(olmo3(), torch.float32)
    kept = []
    for positions in (300, 1200):  # integers up to 256 take no memory of their own
        ids = torch.arange(positions)[None] % model.config.vocab_size
        trace(model, ids, ops=ops)  # what is made once, is made
        gc.collect()
        tracemalloc.start()
        ran = trace(model, ids, ops=ops)
        gc.collect()
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        held = [it for it in gc.get_referents(*ran.calls) if isinstance(it, torch.Tensor)]
        assert not held
    assert kept[1] < 1.1 * kept[0], kept


def test_a_module_that_raises_and_is_caught_runs_no_longer():
    class Raises(nn.Module):
        def forward(self, x):
            raise ValueError

    class Catches(nn.Module):
        def __init__(self):
            super().__init__()
            self.bad, self.good = Raises(), nn.Tanh()

        def forward(self, x):
            try:
                self.bad(x)
            except ValueError:
                x = x + 1
            return self.good(x) * 2

    ran = trace(Catches(), torch.ones(2), ops=True)
    assert [(o.name, o.path) for o in ran.operators] == [("add", ""), ("tanh", "good"), ("mul", "")]
    assert [call.path for call in ran.calls] == ["good"]


@pytest.mark.parametrize("ops", [False, True])
def test_other_threads_are_neither_counted_nor_disturbed(ops):
    model, tokenizer = load("tiny")
    ids = prompt_ids(model, tokenizer, "Hello world")
    alone, stopped, raised = trace(model, ids, ops=ops), Event(), []

    def goes_on() -> None:
        try:
            with torch.no_grad():
                while not stopped.is_set():
                    model(ids)
        except Exception as error:
            raised.append(error)

    threads = [Thread(target=goes_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(trace(model, ids, ops=ops) == alone for _ in range(5))
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert not raised


def test_a_part_of_a_language_model_is_given_what_it_takes():
    model, _ = load("tiny")
    mlp = model.model.layers[0].mlp
    x = torch.zeros(1, 2, model.config.hidden_size, dtype=model.dtype)
    assert trace(mlp, x).counts == {"Linear": 3, "SiLUActivation": 1}


def test_a_mask_may_be_a_list():
    model, _ = load("tiny")
    ran = trace(model, [5, 6, 7], attention_mask=[0, 1, 1])
    assert ran == trace(model, torch.tensor([[5, 6, 7]]))
    with pytest.raises(UsageError, match="attention_mask has shape"):
        trace(model, [5, 6, 7], attention_mask=[1])


def test_weights_without_a_storage_are_passed_over():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lazy = nn.LazyLinear(3, bias=False)
            self.sparse = nn.Parameter(torch.eye(3).to_sparse(), requires_grad=False)

        def forward(self, x):
            return torch.sparse.mm(self.sparse, self.lazy(x))

    ran = trace(Mixed(), torch.ones(3, 2), ops=True)
    assert [call.path for call in ran.calls] == ["lazy", ""]
    assert not any(operator.weights for operator in ran.operators)


def test_what_functions_read_of_a_weight_and_what_they_only_look_at():
    class Borrows(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.model = nn.Embedding(10, 4), nn.Linear(3, 3, bias=False)
            self.none = nn.Embedding(0, 4)

        def forward(self, ids):
            self.none(ids[:0])
            made = self.model.weight.new_zeros(2), torch.empty_like(self.model.weight)
            return nn.functional.embedding(ids, self.table.weight), made

    ran = trace(Borrows(), torch.tensor([3, 3]), ops=True)
    assert ran.parameters_read == 40  # the whole table: which rows is not known


class AsksForAutocast(nn.Linear):
    """As the rotary embedding of transformers up to 5.0 does."""

    def forward(self, x):
        with torch.autocast(device_type=x.device.type, enabled=False):
            return super().forward(x)


def test_a_model_on_the_meta_device_may_ask_for_autocast():
    with torch.device("meta"):
        model, x = AsksForAutocast(2, 3), torch.empty(1, 2)
    with pytest.raises(RuntimeError):
        model(x)
    assert trace(model, x).calls[0].output_shape == (1, 3)
    with pytest.raises(RuntimeError):
        model(x)  # the help ends with the trace
