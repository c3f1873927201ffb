"""The sentence that the book follows, and others whose end repeats their beginning."""

NEAR = "What news from France? I say, what news from"
"""`tiny` goes on with " France", which stands within the window of its sliding layers."""

_LINES_BETWEEN = (
    "Come near, good friend. You look as pale as death.",
    "You tremble, and your hands are red with blood.",
    "Sit down, and take a cup of wine with me.",
)

APART = (
    NEAR,
    *(
        "\n".join(["What news from France?", *_LINES_BETWEEN[:lines], "I say, what news from"])
        for lines in range(1, len(_LINES_BETWEEN) + 1)
    ),
)
"""The sentence, its halves pulled apart, line by line."""

FAR = APART[2]
"""Here " France" stands further back than the 32 tokens that `tiny`'s sliding layers see."""

OTHERS = ("I gave you a horse, you gave me a", "She loves the sea, and he loves the")
