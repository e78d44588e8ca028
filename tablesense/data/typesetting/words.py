# ruff: noqa: RUF001  (the Greek and Cyrillic letters are meant)
"""Words, sentences and figures of a page: made up from syllables, so that no text is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

T = TypeVar("T")


def quoted(text: str) -> str:
    """A typst string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True)
class Language:
    """What makes text look like a language at reading distance.

    Attributes:
        code: The language's code, which typst hyphenates by.
        common: Its short, frequent words.
        starts: Syllables without their end.
        ends: What closes a syllable; empty ones are frequent.
        thousands: The separator of thousands.
        decimal: The decimal sign.
        table: What a caption calls a table.
        figure: What a caption calls a figure.
        source: What introduces a source under a table.
        spaced: Whether words are separated by spaces.
        script: Which fonts have its letters: "latin" for all (Greek and Cyrillic stand in them too), else
            a kind of `look.families`.
    """

    code: str
    common: tuple[str, ...]
    starts: tuple[str, ...]
    ends: tuple[str, ...]
    thousands: str = ","
    decimal: str = "."
    table: str = "Table"
    figure: str = "Figure"
    source: str = "Source"
    spaced: bool = True
    script: str = "latin"

    @property
    def right_to_left(self) -> bool:
        """Whether it is read from the right."""
        return self.script in ("arabic", "hebrew")


def language(
    code: str, common: str, starts: str, ends: str, marks: str, names: str, script: str = "latin"
) -> Language:
    """A language from words and syllables with spaces between; "-" stands for an empty end.

    Args:
        code: Its code.
        common: Its frequent words.
        starts: Syllables without their end.
        ends: What closes a syllable.
        marks: The separator of thousands, then the decimal sign.
        names: What captions call a table and a figure, and what introduces a source.
        script: Which fonts have its letters.
    """
    closing = tuple("" if end == "-" else end for end in ends.split())
    thousands, decimal = marks[0], marks[1]
    table, figure, source = names.split()
    return Language(
        code,
        tuple(common.split()),
        tuple(starts.split()),
        closing,
        thousands,
        decimal,
        table,
        figure,
        source,
        script=script,
    )


_LATIN = (
    "a ba be bi bo ca ce co da de di do e fa fe fi ga ge i ka la le li lo ma me mi mo na ne ni no o pa pe po"
)

_ENGLISH = language(
    "en",
    "the of and to in a is that for it as was with be by on not he this are or his from at which but have "
    "they were their one all there been has more no if would into only some time than two may any these",
    _LATIN
    + " pre pro qua ra re ri ro sa se si so sta stu ta te ti to tra tri u va ve vi wa we wi cha sho the",
    "- - - n r s l t nt st ng ck m d nd rt ly tion ment ing ed al ic ity er ous",
    ",.",
    "Table Figure Source",
)

LANGUAGES: tuple[Language, ...] = (
    _ENGLISH,
    language(
        "de",
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden",
        _LATIN + " schu ver be ge ein aus vor zu stei gru trä wei hau scha pfle",
        "- - n r s l t ng ung keit lich isch en er st cht mt nd",
        ".,",
        "Tabelle Abbildung Quelle",
    ),
    language(
        "fr",
        "de la le et les des en un une du dans que est pour qui par sur au plus pas avec ce il sont aux ne",
        _LATIN + " pré é dé tra cou nou moi plu char grou",
        "- - - s r l t nt ment tion eur aire ique age és",
        "\u00a0,",
        "Tableau Graphique Source",
    ),
    language(
        "es",
        "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me",
        _LATIN + " pre tra cue ñe lla cha gua que rro",
        "- - - s r l n d ción dad mente ado aje ista",
        ".,",
        "Tabla Figura Fuente",
    ),
    language(
        "pl",
        "w i na z do się nie że o to jest od po za dla jak przez oraz są ma tym już być przy może ich tego",
        _LATIN + " prze szy czę wy śro ża łu krza stru dzie",
        "- - - ń ść k ch ów nia cji skie nej ty ra",
        "\u00a0,",
        "Tabela Rysunek Źródło",
    ),
    language(
        "fi",
        "ja on ei se että en ne kun niin hän mutta myös oli joka ovat kuin tai jos vain sen ole mitä siitä",
        _LATIN + " kuu tää ryh hyö väe kai suo työ lii mää",
        "- - - n s ssa lla sta inen uus kset ta t",
        "\u00a0,",
        "Taulukko Kuvio Lähde",
    ),
    language(
        "el",
        "και το να του η της με που την από για στο τα οι είναι θα τους των τον στην σε δεν ως ή μια ένα",
        "α βα γε δη ε ζω θε κα κο λα λο μα με νο ξε πα πο ρι σα συ τα το φα χω ψυ προ στρα",
        "- - - ς ν σης ματος τικό ρα λη κός",
        ".,",
        "Πίνακας Διάγραμμα Πηγή",
    ),
    language(
        "ru",
        "и в не на что он с как это по но из у за от так же для к до вы бы о его мы при или их также если",
        "а бо ва ве ги го да де жи за ка ко ле ли ма мо на но о па по ра ро са со та то у фе хо цен ча пре",
        "- - - н р с ть ный ние ция ски ого ей ст",
        "\u00a0,",
        "Таблица Рисунок Источник",
    ),
)

CHINESE = Language(
    "zh",
    tuple("的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说"),
    tuple(
        "产种面而方后多定行学法所民得经三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本"
    ),
    ("",),
    table="表",
    figure="图",
    source="来源",
    spaced=False,
    script="chinese",
)


class Writer:
    """Writes made-up text in one language, drawing from one random generator.

    Args:
        random: The generator of the page.
        language: What to write in.
    """

    def __init__(self, random: Random, language: Language) -> None:
        self.random = random
        self.language = language
        # A document repeats its own terms: few stems make its texture coherent.
        self._stems = [self._stem() for _ in range(120)]

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random.random() < probability

    def pick(self, weighted: dict[T, float]) -> T:
        """One key, with the weight it maps to."""
        return self.random.choices(list(weighted), list(weighted.values()))[0]

    def choice(self, options: Sequence[T]) -> T:
        """One of the options."""
        return self.random.choice(options)

    def between(self, low: float, high: float) -> float:
        """A number of the range, with two decimals: enough for typography, short in the source."""
        return round(self.random.uniform(low, high), 2)

    def count(self, low: int, high: int) -> int:
        """A whole number of the range, both ends included."""
        return self.random.randint(low, max(low, high))

    def _stem(self) -> str:
        syllables = self.random.choices((1, 2, 3, 4), (2, 5, 4, 1))[0]
        language = self.language
        return "".join(
            self.random.choice(language.starts) + (self.random.choice(language.ends) if last else "")
            for last in (i == syllables - 1 or self.chance(0.15) for i in range(syllables))
        )

    def word(self) -> str:
        """One word; nearly half are the language's common ones."""
        draw = self.random.random()
        if draw < 0.45:
            return self.random.choice(self.language.common)
        if draw < 0.97:
            return self.random.choice(self._stems)
        return self.choice((self.acronym, self.year, self.integer, self.name))()

    def words(self, number: int) -> str:
        """Several words, without a capital or a full stop."""
        return (" " if self.language.spaced else "").join(self.word() for _ in range(number))

    def term(self, low: int = 1, high: int = 3) -> str:
        """A phrase of content words that starts with a capital: a row's label, a heading."""
        parts = [self.random.choice(self._stems) for _ in range(self.count(low, high))]
        if len(parts) > 2 and self.chance(0.6):
            parts[len(parts) // 2] = self.random.choice(self.language.common)
        text = (" " if self.language.spaced else "").join(parts)
        return text[:1].upper() + text[1:]

    def name(self) -> str:
        """A proper name."""
        return self.random.choice(self._stems).capitalize()

    def acronym(self) -> str:
        """Two to four capitals."""
        return "".join(self.random.choices("ABCDEFGHIKLMNOPRSTU", k=self.count(2, 4)))

    def sentence(self) -> str:
        """A sentence of 5 to 28 words with its marks."""
        parts = [self.word() for _ in range(self.count(5, 28))]
        for i in range(4, len(parts) - 2):
            if self.chance(0.08):
                parts[i] += ","
        if self.chance(0.08):
            parts[-1] = f"({parts[-1]} {self.choice((self.year, self.integer, self.acronym))()})"
        text = (" " if self.language.spaced else "").join(parts)
        return text[:1].upper() + text[1:] + self.random.choices(".?:;", (20, 1, 1, 1))[0]

    def text(self, characters: int) -> str:
        """Sentences that reach a length."""
        sentences: list[str] = []
        length = 0
        while length < characters:
            sentences.append(self.sentence())
            length += len(sentences[-1]) + 1
        return " ".join(sentences)

    def year(self) -> str:
        """A year."""
        return str(self.count(1948, 2031))

    def grouped(self, value: int) -> str:
        """A whole number as the language groups it."""
        return f"{value:,}".replace(",", self.language.thousands)

    def integer(self, digits: int | None = None) -> str:
        """A whole number of the given length, or of 1 to 5 digits."""
        return self.grouped(self.random.randrange(10 ** (digits or self.count(1, 5))))

    def decimal(self, places: int = 1, digits: int = 2) -> str:
        """A number with decimals."""
        whole = self.grouped(self.random.randrange(10**digits))
        fraction = self.random.randrange(10**places)
        return f"{whole}{self.language.decimal}{fraction:0{places}d}"

    def date(self) -> str:
        """A date in one of the usual forms."""
        day, month, year = self.count(1, 28), self.count(1, 12), self.year()
        return self.choice(
            (f"{month}/{day}/{year[2:]}", f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}")
        )

    def code(self) -> str:
        """An article number, a section number or the like."""
        letters = self.acronym()
        return self.choice(
            (f"{letters}-{self.count(1, 999)}", f"{letters[0]}{self.count(1, 99999):05}", letters)
        )
