"""What the tests of figures share."""

from l2s import plot


def full_figure():
    picture, axes = plot.figure()
    for level, label in enumerate(("first", "second", "third")):
        axes.plot([1, 2, 3], [level, level + 0.01, level * 1.02], label=label)
    axes.set(xlabel="batch size", ylabel="loss (nats)", title="A title")
    axes.text(1.5, 1.5, "a text")
    axes.annotate("a note", (2, 1), xytext=(3, 3), textcoords="offset points")
    axes.legend(title="a legend")
    axes.axhline(0.5)
    picture.suptitle("above")
    plot.label_lines(axes)
    return picture, axes
