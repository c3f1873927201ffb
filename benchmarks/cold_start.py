"""How long each command takes from nothing, against Python alone and against `import torch`."""

from benchmarks.frame import Plan, Subject, python, take_turns, tell

TITLE = "Commands from a cold start, whole processes"

COMMANDS = {
    "config olmo3-7b": ("config", "olmo3-7b"),
    "flops olmo3-7b": ("flops", "olmo3-7b"),
    "weights tiny": ("weights", "tiny", "model.norm.weight"),
    "head tiny": ("head", "tiny", "--layer", "5", "--head", "1"),
    "head tiny --all": ("head", "tiny", "--all"),
    "trace tiny": ("trace", "tiny"),
    "trace olmo3-7b": ("trace", "olmo3-7b"),
    "verify tiny": ("verify", "tiny"),
    "doctor": ("doctor",),
}
QUICK = ("config olmo3-7b", "head tiny")


def measure(plan: Plan) -> Subject:
    tell("cold start")
    ways = {
        'python -c "import torch"': python("-c", "import torch"),
        'python -c "pass"': python("-c", "pass"),
        **{
            f"olmo-explain {name}": python("-m", "olmo_explain", *words, "--json")
            for name, words in COMMANDS.items()
            if not plan.quick or name in QUICK
        },
    }
    return Subject("cold", TITLE, take_turns(ways, plan).rows("as named", "s"))
