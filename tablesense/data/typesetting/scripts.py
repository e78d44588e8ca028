# ruff: noqa: RUF001  (the letters of other scripts are meant)
"""More languages, and scripts that only some fonts have; what is read from the right is set so."""

from __future__ import annotations

import re

from tablesense.data.typesetting.look import families
from tablesense.data.typesetting.words import CHINESE, LANGUAGES, Language, Writer, language

_LATIN = "a ba be bi co da de di do e fa fi ga i ka la le li lo ma me mi mo na ne ni no o pa pe po"

_MORE = (
    language(
        "it",
        "di e il la che in a per un del non una si con i da le al dei nel come più gli alla sono dalla della",
        _LATIN + " gli chi sta tra pre scu gra vo zio cu que",
        "- - - - n r l ne zione mente ità ato ale",
        ".,",
        "Tabella Figura Fonte",
    ),
    language(
        "pt",
        "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu",
        _LATIN + " lha nho ção gra pre tra cu qua",
        "- - - s r m l ção mente dade ado ões",
        ".,",
        "Tabela Figura Fonte",
    ),
    language(
        "nl",
        "de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij uit door naar",
        _LATIN + " schoo ver ge be aan uit voor grij wee hui stee",
        "- - n r s t ng heid lijk ing en cht st",
        ".,",
        "Tabel Figuur Bron",
    ),
    language(
        "sv",
        "och i att det som en på är av för med den till inte har de ett om var sig så från vid kan men",
        _LATIN + " för skå bö grä stor hän vä lä sjö",
        "- - n r s t ng het lig ning are ande",
        "\u00a0,",
        "Tabell Figur Källa",
    ),
    language(
        "cs",
        "a v na se je že s z do o i k za by pro jako po ve ale od jsou při podle být které jen také než",
        _LATIN + " ři dě tě ní stře prů výš ží hla člo pů",
        "- - - n k t st ní ost ého ých ku",
        "\u00a0,",
        "Tabulka Obrázek Zdroj",
    ),
    language(
        "tr",
        "ve bir bu da için ile olarak çok daha olan de gibi sonra en kadar ne her ya o ise içinde değil",
        _LATIN + " gü yı şe çı öğ dü sö ğa kı",
        "- - n r lar ler lık dır ım ın k z",
        ".,",
        "Tablo Şekil Kaynak",
    ),
    language(
        "vi",
        "và của các là có trong cho được với một những không người này đã khi từ đến về năm để theo như",
        "thuế giá đầu tư công nghệ hộ số lượng tỷ lệ vùng đất nước trẻ học sinh kết quả điểm phí mức ngày "
        "tháng xã hội quốc gia dự án kinh",
        "-",
        ".,",
        "Bảng Hình Nguồn",
    ),
    language(
        "uk",
        "і в не на що з як це по але у за від так для до та або його є при якщо їх також ми вони бути",
        "а бо ва ве ги го да де жи за ка кі ле лі ма мо на но о па по ра ро са со та то у фе хо цен ча ї є",
        "- - - н р с ть ний ння ція ськ ого ей ст",
        "\u00a0,",
        "Таблиця Рисунок Джерело",
    ),
)

# Those that need a font of their own: the script's name is the one its families have in the look.
_SCRIPTS = (
    language(
        "ar",
        "في من على إلى أن هذا التي الذي مع عن كان بين ما لا هو كل بعد قد تم ذلك أو ثم حيث هذه كما عند",
        "ال مد بر حس قا سو عم نظ طر شر كت جم حك دو فا با صن رق خد تع مؤ است مج وز",
        "- ة ات ية ون ين ل ر م ن د",
        ",.",
        "جدول شكل المصدر",
        "arabic",
    ),
    language(
        "he",
        "של את על לא הוא עם כל זה גם או כי אל היה היא אם אך בין יותר רק לפי כדי אשר אין יש ידי שנת",
        "מש חב דר בי כנ של מד תק עי נה הכ פר סו גב רש קו לי צי אר טו",
        "- ה ים ות ת ר ל ן ק ית",
        ",.",
        "טבלה איור מקור",
        "hebrew",
    ),
    language(
        "hy",
        "և է որ ի են մեջ այս որպես համար հետ էր նաև կամ ոչ միայն ըստ մինչև մեկ այն պետք ինչ իր նրա",
        "ա բա գա դա ե զա թա ժա լի խո կա հա ձե ղե մա յա նա շա ո չա պա ջե ռա սա վա տա րա ցի փո քա",
        "- - ն ր կ թյուն ում ներ ական ված",
        "\u00a0,",
        "Աղյուսակ Նկար Աղբյուր",
        "armenian",
    ),
    language(
        "hi",
        "के में की है से को और का पर ने यह एक भी नहीं कि हैं इस लिए तो कर जो या था थे गया साथ बाद",
        "क का कि ग गा च चा ज त ता द दे न ना नि प पा प्र ब भा म मा मू य र रा रि ल ला व वि श स सा सं ह हा",
        "- - र न त ल ी य ों",
        ",.",
        "तालिका चित्र स्रोत",
        "devanagari",
    ),
)

_JAPANESE = Language(
    "ja",
    tuple("のにはをたがでとしれさあるいもすからなことして"),
    tuple(
        "日本国会社年度計画事業報告調査結果人口地域技術研究開発経済産業環境情報教育管理費用合計部門地方平均"
    ),
    ("",),
    table="表",
    figure="図",
    source="出典",
    spaced=False,
    script="japanese",
)
_KOREAN = language(
    "ko",
    "이 그 및 등 수 것 있는 하는 대한 위한 따라 통해 또는 각 더 중 후 가장 모든 같은 때 를",
    "가 경 고 공 관 교 구 국 기 나 단 대 도 동 로 리 면 무 문 미 민 보 부 비 사 산 상 서 세 소 시 연 영",
    "- - - 은 는 의 에 로",
    ",.",
    "표 그림 출처",
    "korean",
)

_RIGHT_TO_LEFT = {"left": "right", "right": "left"}
_NEUTRAL = {"left": "start", "right": "end"}


def languages() -> tuple[Language, ...]:
    """The languages that this machine's fonts have every letter of, English first."""
    others = (*_MORE, *_SCRIPTS, CHINESE, _JAPANESE, _KOREAN)
    return LANGUAGES + tuple(one for one in others if one.script == "latin" or families(one.script))


def draw_language(w: Writer) -> Writer:
    """A writer of a drawn language; English in half of the pages, a script of its own in one of twelve."""
    whole = languages()
    own = [one for one in whole if one.script != "latin"]
    if w.chance(0.5):
        drawn = whole[0]
    elif own and w.chance(0.17):
        drawn = w.choice(own)
    else:
        drawn = w.choice([one for one in whole[1:] if one.script == "latin"])
    return Writer(w.random, drawn)


def mirrored(w: Writer, source: str) -> str:
    """A part as the writer's language sets it: what stood at the left stands at the right."""
    return _swapped(source, _RIGHT_TO_LEFT) if w.language.right_to_left else source


def unmirrored(w: Writer, source: str) -> str:
    """A drawing, whose coordinates run from the left in every language."""
    if not w.language.right_to_left:
        return source
    return f"{{ set text(dir: ltr); {_swapped(source, _NEUTRAL)} }}"


def _swapped(source: str, words: dict[str, str]) -> str:
    return re.sub(r"\b(left|right)\b", lambda match: words[match[0]], source)
