"""The look of one document: its genre, paper, fonts, spacing and colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tablesense.data.typesetting.words import Writer

GENRES = {
    "report": 0.34,
    "typewriter": 0.17,
    "annual": 0.18,
    "paper": 0.11,
    "listing": 0.09,
    "news": 0.06,
    "slide": 0.05,
}

_PAPERS = {
    (595, 842): 0.5,
    (612, 792): 0.3,
    (612, 1008): 0.03,
    (420, 595): 0.04,
    (482, 680): 0.05,
    (540, 590): 0.04,
    (515, 728): 0.04,
}

# The families that typst carries come first, and stand alone where a machine has no other.
_FAMILIES = {
    "serif": (
        "Libertinus Serif", "New Computer Modern", "Libertinus Serif", "DejaVu Serif", "Times New Roman",
        "Liberation Serif", "Nimbus Roman", "TeX Gyre Termes", "Noto Serif", "Georgia", "FreeSerif",
    ),
    "sans": (
        "DejaVu Sans", "Arial", "Liberation Sans", "Helvetica", "Nimbus Sans", "Noto Sans", "Open Sans",
        "Roboto", "Calibri", "Carlito", "Verdana", "Inter", "FreeSans",
    ),
    "mono": ("DejaVu Sans Mono", "Courier New", "Liberation Mono", "Nimbus Mono PS", "FreeMono"),
    "chinese": (
        "Noto Sans CJK SC", "Noto Serif CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
        "WenQuanYi Micro Hei", "PingFang SC", "SimSun", "Microsoft YaHei",
    ),
    "japanese": (
        "Noto Sans CJK JP", "Noto Serif CJK JP", "Source Han Sans", "IPAGothic", "IPAMincho", "TakaoGothic",
        "Hiragino Sans", "MS Mincho", "Yu Gothic",
    ),
    "korean": (
        "Noto Sans CJK KR", "Noto Serif CJK KR", "Source Han Sans K", "NanumGothic", "NanumMyeongjo",
        "Apple SD Gothic Neo", "Malgun Gothic",
    ),
    "arabic": (
        "DejaVu Sans", "Noto Sans Arabic", "Noto Naskh Arabic", "Amiri", "Scheherazade New", "Geeza Pro",
    ),
    "hebrew": ("DejaVu Sans", "Noto Sans Hebrew", "Noto Serif Hebrew", "FreeSerif", "FreeSans"),
    "armenian": ("DejaVu Sans", "DejaVu Serif", "Noto Sans Armenian", "Noto Serif Armenian"),
    "devanagari": ("Noto Sans Devanagari", "Noto Serif Devanagari", "Lohit Devanagari", "Mangal"),
}  # fmt: skip

HUES = (
    "1f4e8c",
    "0b6e4f",
    "c0392b",
    "d9822b",
    "6b3fa0",
    "2f7f93",
    "8a1c40",
    "3b3b98",
    "7a6a00",
    "00857c",
    "f08020",
)


@cache
def families(kind: str) -> tuple[str, ...]:
    """The families of a kind that this machine has.

    Args:
        kind: "serif", "sans" or "mono", or the script of a language that these lack: "chinese", "japanese",
            "korean", "arabic", "hebrew", "armenian" or "devanagari".
    """
    from typst import Fonts

    present = set(Fonts().families())
    return tuple(family for family in _FAMILIES[kind] if family in present)


def tint(color: str, strength: float) -> str:
    """A colour mixed with white, both as six hexadecimal digits; strength 1 leaves it as it is."""
    parts = (int(color[i : i + 2], 16) for i in (0, 2, 4))
    return "".join(f"{round(255 + (part - 255) * strength):02x}" for part in parts)


@dataclass(frozen=True)
class Look:
    """How a document is set. Lengths in points.

    Attributes:
        genre: One of `GENRES`.
        width: The paper's width.
        height: The paper's height.
        margins: Left, top, right and bottom.
        columns: Columns of text on the page.
        gutter: The space between two columns.
        body: The family of the text.
        heads: The family of headings.
        figures: The family of tables and charts.
        size: The size of the text.
        leading: The space between two lines, on top of ascender and descender.
        spacing: The space between two paragraphs.
        indent: The indent of a paragraph's first line.
        justified: Whether paragraphs are justified.
        accent: The document's colour, black in most.
        paper: The colour of the paper.
        squeeze: Horizontal scale of the page's image: narrower letters than the family has.
        numbered: Whether headings carry numbers.
        caption_below: Whether captions stand below tables.
        caption_align: Where captions stand.
        caption_style: How captions are set: "bold", "italic", "plain" or "accent".
        smallest: The size that letters of tables do not go below.
    """

    genre: str
    width: float
    height: float
    margins: tuple[float, float, float, float]
    columns: int
    gutter: float
    body: str
    heads: str
    figures: str
    size: float
    leading: float
    spacing: float
    indent: float
    justified: bool
    accent: str
    paper: str
    squeeze: float
    numbered: bool
    caption_below: bool
    caption_align: str
    caption_style: str
    smallest: float = 5.2

    @property
    def area(self) -> tuple[float, float]:
        """Width and height of the text area, all columns together."""
        left, top, right, bottom = self.margins
        return self.width - left - right, self.height - top - bottom

    @property
    def column(self) -> float:
        """The width of one column of text."""
        return (self.area[0] - self.gutter * (self.columns - 1)) / self.columns

    @property
    def mono(self) -> bool:
        """Whether the document is typewritten."""
        return self.genre == "typewriter"


def draw_look(w: Writer) -> Look:
    """Draw the look of one document."""
    genre = w.pick(GENRES)
    squeeze = w.between(0.76, 1.0) if w.chance(0.65) else 1.0
    width, height = w.pick(_PAPERS)
    landscape = genre == "slide" or w.chance({"listing": 0.35, "typewriter": 0.08}.get(genre, 0.03))
    if landscape:
        width, height = height, width
    width = round(width / squeeze)  # the image is squeezed back to the paper's own shape
    serif, sans, mono = families("serif"), families("sans") or families("serif"), families("mono")
    own = families(w.language.script) if w.language.script != "latin" else ()
    body = w.choice({"typewriter": mono, "slide": sans}.get(genre) or (serif if w.chance(0.6) else sans))
    heads = body if w.chance(0.6) else w.choice(sans)
    table_face = body if w.chance(0.75) or genre == "typewriter" else w.choice(sans)
    if own:
        body = heads = table_face = w.choice(own)
    columns = {
        "report": lambda: w.pick({1: 0.85, 2: 0.15}),
        "annual": lambda: w.pick({1: 0.35, 2: 0.5, 3: 0.15}),
        "paper": lambda: w.pick({1: 0.15, 2: 0.85}),
        "news": lambda: w.pick({2: 0.2, 3: 0.5, 4: 0.3}),
    }.get(genre, lambda: 1)()
    if width < 500 and columns > 2:
        columns = 2
    size = {
        "report": lambda: w.between(9, 12.5),
        "annual": lambda: w.between(7, 10.5),
        "paper": lambda: w.between(8, 10.5),
        "news": lambda: w.between(7.5, 10),
        "listing": lambda: w.between(7, 11),
        "slide": lambda: w.between(9, 15),
        "typewriter": lambda: w.between(8.5, 11.5),
    }[genre]()
    scale = min(width, height) / 600
    size = max(6.0, round(size * min(1.05, max(0.72, scale)), 2))
    roomy = genre in ("report", "typewriter") and w.chance(0.45)
    leading = round(size * (w.between(0.45, 1.3) if roomy else w.between(-0.08, 0.35)), 2)
    indent = size * w.between(1, 2.5) if w.chance(0.35) else 0
    spacing = leading + (w.between(0, 2) if indent and w.chance(0.7) else size * w.between(0.3, 1.2))

    def margin(low: float, high: float) -> float:
        return round(w.between(low, high) * scale, 1)

    side = (24, 50) if genre in ("news", "slide", "listing") else (40, 105)
    left = margin(*side)
    right = left if w.chance(0.6) else margin(*side)
    if genre in ("annual", "report") and columns == 1 and w.chance(0.12):
        left += round(width * w.between(0.1, 0.25), 1)  # a wide empty margin
    return Look(
        genre=genre,
        width=width,
        height=height,
        margins=(left, margin(34, 95), right, margin(40, 105)),
        columns=columns,
        gutter=w.between(11, 26),
        body=body,
        heads=heads,
        figures=table_face,
        size=size,
        leading=leading,
        spacing=round(spacing, 2),
        indent=round(indent, 2),
        justified=w.chance(0.25 if genre == "typewriter" else 0.65),
        accent="000000" if w.chance(0.5) or genre == "typewriter" else w.choice(HUES),
        paper="ffffff" if w.chance(0.95) else w.choice(("fbf8ef", "f4f4f4", "f2f7fb", "fffde8")),
        squeeze=squeeze,
        numbered=w.chance(0.5),
        caption_below=w.chance(0.12),
        caption_align=w.pick({"left": 0.5, "center": 0.48, "right": 0.02}),
        caption_style=w.pick({"bold": 0.4, "italic": 0.2, "plain": 0.3, "accent": 0.1}),
    )
