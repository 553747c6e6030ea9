"""Two hundred texts, the same on every machine, of what people put into an index and of what breaks tokenizers."""

from __future__ import annotations

import random
import unicodedata
from unicodedata import ucd_3_2_0

LIMIT = 512
"""Tokens that the model takes, the two that enclose every text included."""

_PLAIN = (
    "A man is eating food.",
    "The new movie is awesome, but the old one was better.",
    "Can you send me the report before Friday afternoon?",
    "It rained all day; nobody minded.",
    "The patient was given 200 mg of ibuprofen twice a day.",
    "Interest rates rose by a quarter of a percentage point.",
    "I can't believe it's not butter!",
    "SHOUTING IS NOT AN ARGUMENT",
    "lower case and no full stop",
    "Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo.",
    "To be, or not to be, that is the question.",
    "Water boils at 100 °C at sea level.",
    "She said: “I'd rather not.” – and left…",
    "No.",
    "Yes",
    "a",
    "I",
    "The the the the the",
    "Antidisestablishmentarianism and pneumonoultramicroscopicsilicovolcanoconiosis are words.",
    "My e-mail is jane.doe+lists@example.org, my phone +49 (0)30 1234-5678.",
    "See https://example.org/a/b?c=d&e=%20f#frag for details.",
    "The quick brown fox jumps over the lazy dog, again and again, until the dog gets up and walks away.",
    "Dr. Smith vs. the U.S. Gov't, No. 12-345 (9th Cir. 2013)",
    "Meeting moved: 2026-03-01T09:30:00+01:00 → room B‑12",
    "Ingredients: 2 eggs, 250 g flour, ½ tsp salt, 1⁄4 l milk",
    "e = mc², ∑ᵢ xᵢ ≤ √n, ∀ε>0 ∃δ, A ⊂ B, 3 × 4 ≠ 11, π ≈ 3.14159",
    "$5 + €6 = £7? ¥800 & ₹900; 50 % off ™ © ®",
    "1,234,567.89 -0.001 1e-9 0xFF 0b1010 ⅷ ① ٣ ४",
    "well-known state-of-the-art twenty-one co-operate",
    "don't won't shouldn't've y'all o'clock 'tis",
)

_LANGUAGES = (
    "Der Bär läuft über die Straße; ẞ ist ein großes ß.",
    "Où est passé l'élève naïf ? Ça coûte cher, là-bas.",
    "¿Dónde está el niño? ¡Aquí, señor!",
    "Não há solução fácil para a questão.",
    "Perché no? Città, università e virtù.",
    "Zażółć gęślą jaźń.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Árvíztűrő tükörfúrógép",
    "İstanbul'da ığdır ve şeker",
    "Sævör grét áðan því úlpan var ónýt.",
    "Tiếng Việt có nhiều dấu thanh.",
    "Привет, мир! Съешь ещё этих мягких французских булок, ёй.",
    "Щастям б'єш жук їх глицю в фон й ґедзь пріч.",
    "Καλημέρα κόσμε, ΣΊΣΥΦΟΣ και Σίσυφος",
    "Բարեւ աշխարհ",
    "გამარჯობა მსოფლიო",
    "שלום עולם",
    "שָׁלוֹם עוֹלָם, בְּרֵאשִׁית",
    "مرحبا بالعالم",
    "اَلسَّلَامُ عَلَيْكُمْ وَرَحْمَةُ اللّٰهِ",
    "سلام دنیا، می‌خواهم بروم",
    "سلام دنیا",
    "नमस्ते दुनिया, यह हिन्दी में लिखा है।",
    "নমস্কার পৃথিবী, কেমন আছো?",
    "வணக்கம் உலகம், கோயில்",
    "ಹಲೋ ವರ್ಲ್ಡ್",
    "హలో వరల్డ్",
    "สวัสดีชาวโลก น้ำแข็ง",
    "你好，世界。今天天气很好！",
    "繁體中文與简体中文",
    "こんにちは世界、がぎぐげご、プログラミング",
    "ﾊﾝｶｸ ｶﾀｶﾅ と ＦＵＬＬ　ＷＩＤＴＨ",
    "안녕하세요 세계, 한국어 문장입니다.",
    "ᄋ\u1161ᆫ녕 자모",
    "ሰላም ዓለም",
    "မင်္ဂလာပါ ကမ္ဘာ",
    "សួស្តីពិភពលោក",
    "བཀྲ་ཤིས་བདེ་ལེགས།",
    "English и русский 和中文 و العربية in one line",
    "𝒽𝑒𝓁𝓁𝑜 𝕨𝕠𝕣𝕝𝕕 𐍈𐌰 𠀀𠀁",
)

_SIGNS = (
    "I ❤️ 🍕 and 👩‍👩‍👧‍👦 from 🇩🇪🇧🇷 👍🏽 1️⃣",
    "😀😃😄😁😆😅😂🤣",
    "no emoji :-) <3 ¯\\_(ツ)_/¯ (╯°□°)╯︵ ┻━┻",
    "\u202eright to left override\u202c and \u2066isolate\u2069",
    "zero\u200bwidth\u200cnon\u200djoiner\ufeffbom\u00adsoft\u2060hyphen",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u1680g",
    "tab\tnew\nline\r\nreturn\vvertical\fform\u0085next",
    "nul\x00bell\x07escape\x1b[31mred\x1b[0m delete\x7f \x80\x9f",
    "Z̷̛͍̪a̷̲l̵͎g̴̈o̶̓ c̸o̵m̷e̴s̶",
    "ﬁnancial ﬀ ﬄ Ǆ ĳ ſ K Å Ω ℵ ℃ №",
    "‘single’ “double” «guillemets» „low“ ‹one› 「corner」 【lens】 〜 …",
    "!?!?!?!?!?",
    "...",
    "-----=====*****_____#####",
    "()[]{}<>",
    "~`^|\\/@&%$§¶†‡•",
    "█▓▒░ ┌─┐│└┘ ★☆ ♠♣♥♦ ♪♫ ✓✗ ⌘⌥⇧ ←↑→↓",
    "[CLS] hello [SEP] world [MASK] [UNK] [PAD]",
    "<s> </s> <pad> <unk> <|endoftext|> <|im_start|>",
    "a\ufffdb \ue000private\uf8ff",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "x" * 100,
    "x" * 101,
    "before " + "deadbeef" * 40 + " after",
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ" * 6,
    "é" * 100 + " " + "ё" * 101,
    "".join(chr(code) for code in range(0x20, 0x7F)),
    "".join(chr(code) for code in range(0xA0, 0x100)),
    "".join(chr(code) for code in range(0x300, 0x370)),
    "e\u0301\u0301\u0323 o\u0308\u0304 ṩ s\u0323\u0307",
)

_CODE = (
    "def f(x: int) -> int:\n    return x ** 2  # squares\n",
    "for (size_t i = 0; i < n; ++i) { sum += *p++; }",
    'fn main() { println!("{:?}", vec![1, 2].iter().map(|x| x * 2).collect::<Vec<_>>()); }',
    "const f = async ({a, ...b}) => await fetch(`/api/${a}`, {method: 'POST'});",
    "SELECT u.name, COUNT(*) FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE o.total > 9.99 GROUP BY 1;",
    "sudo apt-get install -y --no-install-recommends g++ | tee -a /var/log/x.log 2>&1 && echo $?",
    '{"id": 7, "tags": ["a", null, true], "nested": {"π": 3.14}}',
    "services:\n  web:\n    image: nginx:1.25\n    ports: ['8080:80']\n",
    "<div class=\"a b\"><a href='/x?y=1&amp;z=2'>link</a><!-- no --></div>",
    "^(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\\.[a-z]+)*)@example\\.org$",
    "diff --git a/x b/x\n@@ -1,2 +1,2 @@\n-old line\n+new line\n",
    "Traceback (most recent call last):\n  File \"x.py\", line 3, in <module>\nKeyError: 'missing'",
    "func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mu.Lock(); defer s.mu.Unlock() }",
    "mov eax, dword ptr [rbp-0x14]\nxor ecx, ecx\njne .L2",
    "camelCaseIdentifier snake_case_identifier SCREAMING_SNAKE kebab-case-name dotted.path.to.module",
    "commit 23106f94ea2bc3da929afb7330655fd5515d08dc",
    "C:\\Users\\jane\\AppData\\Local\\Temp\\~$report.docx",
    'let ünïcödé = "строка"; // 注释',
    '10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326',
    "\\begin{equation} \\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2} \\end{equation}",
)

_MARKDOWN = (
    "# Title\n\nSome *emphasis*, **strong** and `code`.\n",
    "- one\n- two\n  - nested\n    1. deeper\n",
    "| a | b |\n|---|:-:|\n| 1 | 2 |\n",
    '> quoted\n>> twice\n\n---\n\n![alt](image.png "title") [link](http://example.org)',
    "```python\nprint('fenced')\n```",
    "- [ ] open\n- [x] done ~~gone~~ ^up^ ==mark== :smile:",
    "Term\n: definition[^1]\n\n[^1]: footnote",
    "<details><summary>More</summary>\n\nhidden\n\n</details>",
    "---\ntitle: front matter\ntags: [a, b]\n---\nBody.",
    "Line one  \nline two\\\nline three",
)

_BLANK = ("", " ", "\n", "\t \r\n  \u3000", "\u200b", "\u0301", "\x00", "   padded   ", "\n\nlines\n\n\nbetween\n\n")

_NOUNS = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work government number night point home water room mother "
    "area money story fact month lot right study book eye job word business issue side kind head house"
)
"""Each a token of its own in the vocabulary that BERT models share."""


def _of_length(tokens: int, chance: random.Random) -> str:
    """A text of so many tokens, the enclosing two included."""
    return " ".join(chance.choices(_NOUNS.split(), k=tokens - 2))


def _of_any_script(chance: random.Random) -> str:
    """Twelve made-up words, each out of the letters, marks, digits and signs of one script."""
    return " ".join("".join(chance.choices(chance.choice(_SCRIPTS), k=chance.randint(1, 6))) for _ in range(12))


def _scripts() -> tuple[str, ...]:
    """What Unicode 3.2 had assigned, about 128 characters a text: older than what tokenizers disagree about.

    Without ideographs and Hangul syllables, which would be most of it.
    """
    codes = (*range(0x20, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000))
    assigned = "".join(chr(code) for code in codes if ucd_3_2_0.category(chr(code)) not in {"Cn", "Co", "Cs"})
    return tuple(assigned[start : start + 128] for start in range(0, len(assigned), 128))


_SCRIPTS = _scripts()


def _sentences() -> tuple[str, ...]:
    chance = random.Random(0)
    fixed = (*_BLANK, *_PLAIN, *_LANGUAGES, *_SIGNS, *_CODE, *_MARKDOWN)
    decomposed = tuple(unicodedata.normalize("NFD", text) for text in _LANGUAGES[:11])
    lengths = (*range(32, LIMIT, 32), LIMIT - 2, LIMIT - 1, LIMIT)
    long = tuple(_of_length(tokens, chance) for tokens in lengths)
    documents = tuple("\n".join(chance.sample((*_PLAIN, *_CODE, *_MARKDOWN), k=5)) for _ in range(10))
    mixed = (*fixed, *decomposed, *long, *documents)
    return (*mixed, *(_of_any_script(chance) for _ in range(200 - len(mixed))))


SENTENCES = _sentences()
"""Each at most `LIMIT` tokens, no two the same."""

SHORT = tuple(sorted(SENTENCES, key=len)[:60])
"""Some of them, for an emulated processor, which embeds these in a minute or two."""

TOO_LONG = _of_length(LIMIT + 1, random.Random(1))
"""One token more than the model takes."""
