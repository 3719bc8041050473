"""Pictures in two colour schemes, one for light pages and one for dark ones.

`reset` and `scraper` are for sphinx-gallery, which runs the scripts of docs/pictures. A script draws by plain
matplotlib, in the light scheme; the dark picture is the same SVG with other colours. The directive `picture` shows the
picture of a script on a page:

    ```{picture} plot_descent
    :alt: what there is to see
    The caption.
    ```

A picture of several panels side by side is `:wide:`: on a telephone it scrolls and keeps its size.
"""

import matplotlib
from docutils import nodes
from docutils.parsers.rst import directives
from matplotlib import pyplot as plt
from sphinx.util.docutils import SphinxDirective

INK, PAPER, GRID, FAINT = "#24292f", "#ffffff", "#d0d7de", "#6e7781"
# Okabe and Ito's colours, which colour-blind readers can tell apart; lighter ones on dark pages.
CYCLE = ["#0072b2", "#d55e00", "#009e73", "#b5559a", "#e69f00"]
DARK = {
    INK: "#e6e6e6",
    PAPER: "#14181e",
    GRID: "#3d444d",
    FAINT: "#9198a1",
    CYCLE[0]: "#56b4e9",
    CYCLE[1]: "#ff8f4f",
    CYCLE[2]: "#3dd6a8",
    CYCLE[3]: "#e59bd0",
    CYCLE[4]: "#f6c445",
}
STYLES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]


def reset(gallery_conf, name):
    """Begin each script with the same style."""
    matplotlib.use("agg")
    plt.close("all")
    matplotlib.rcdefaults()
    plt.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.edgecolor": FAINT,
            "axes.facecolor": PAPER,
            "axes.grid": True,
            "axes.labelcolor": INK,
            "axes.prop_cycle": plt.cycler(color=CYCLE) + plt.cycler(linestyle=STYLES),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlecolor": INK,
            "axes.titlesize": 11,
            "figure.constrained_layout.use": True,
            "figure.facecolor": PAPER,
            "figure.figsize": (6.4, 3.6),
            "font.size": 10,
            "grid.color": GRID,
            "grid.linewidth": 0.6,
            "legend.edgecolor": GRID,
            "legend.facecolor": PAPER,
            "legend.fontsize": 9,
            "lines.linewidth": 2,
            "patch.edgecolor": PAPER,
            "savefig.facecolor": PAPER,
            "svg.hashsalt": "fastxent",
            "text.color": INK,
            "xtick.color": FAINT,
            "xtick.labelcolor": INK,
            "ytick.color": FAINT,
            "ytick.labelcolor": INK,
        }
    )


def scraper(block, block_vars, gallery_conf):
    """Save the open figures, each in both schemes, and return the reST that shows them."""
    parts = []
    for number in plt.get_fignums():
        light = block_vars["image_path_iterator"].next().removesuffix(".png") + ".svg"
        plt.figure(number).savefig(light, metadata={"Date": None})
        with open(light, encoding="utf-8") as file:
            text = file.read()
        for colour, other in DARK.items():
            text = text.replace(colour, other)
        with open(dark_name(light), "w", encoding="utf-8") as file:
            file.write(text)
        source = light.removeprefix(gallery_conf["src_dir"])
        for path, when in ((source, "only-light"), (dark_name(source), "only-dark")):
            parts.append(f".. image:: /{path.lstrip('/')}\n   :class: sphx-glr-single-img {when}\n   :alt:\n")
    plt.close("all")
    return "\n".join(parts)


def dark_name(path):
    return path.removesuffix(".svg") + "-dark.svg"


class Picture(SphinxDirective):
    """The pictures of a script of docs/pictures, with a caption that links to the script."""

    required_arguments = 1
    has_content = True
    option_spec = {  # noqa: RUF012
        "alt": directives.unchanged_required,
        "number": directives.positive_int,
        "wide": directives.flag,
    }

    def run(self):
        script = self.arguments[0]
        path = f"/gallery/images/sphx_glr_{script}_{self.options.get('number', 1):03d}.svg"
        picture = nodes.container(classes=["picture", *(["wide"] if "wide" in self.options else [])])
        for uri, when in ((path, "only-light"), (dark_name(path), "only-dark")):
            picture += nodes.image(uri=uri, alt=self.options["alt"], classes=[when])
        caption, messages = self.parse_inline(" ".join(self.content))
        link, more = self.parse_inline(f"{{doc}}`Code of the picture </gallery/{script}>`.")
        picture += nodes.paragraph("", "", *caption, nodes.Text(" "), *link)
        return [picture, *messages, *more]


def tidy_examples(app, doctree):
    """Take away the empty line that ends an example, which doctest wants and readers do not; colour indented ones."""
    for block in doctree.findall(nodes.literal_block):
        text = block.astext().rstrip()
        if text.startswith(">>> "):
            block["language"] = "pycon"
        block.rawsource = text
        block[:] = [nodes.Text(text)]


def setup(app):
    app.add_directive("picture", Picture)
    app.connect("doctree-read", tidy_examples)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
