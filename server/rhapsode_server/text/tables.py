"""The words that the rules know by name.

Lives here: tables only. What must not: a pattern, a rule.
"""

from __future__ import annotations


def _set(names: str) -> frozenset[str]:
    """Names apart by spaces -> their set."""
    return frozenset(names.split())


MONTHS = {
    "january": "January", "february": "February", "march": "March", "april": "April", "may": "May",
    "june": "June", "july": "July", "august": "August", "september": "September", "october": "October",
    "november": "November", "december": "December", "jan": "January", "feb": "February", "mar": "March",
    "apr": "April", "jun": "June", "jul": "July", "aug": "August", "sep": "September",
    "sept": "September", "oct": "October", "nov": "November", "dec": "December",
}  # fmt: skip
MONTH_NAMES = tuple(dict.fromkeys(MONTHS.values()))

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₿": ("bitcoin", "bitcoins", "", ""),
}
"""Sign -> one, several, and the same for the hundredth part (empty where it has none)."""
CURRENCY_PREFIXES = {
    "us": "US", "u.s.": "US", "c": "Canadian", "ca": "Canadian", "a": "Australian", "au": "Australian",
    "nz": "New Zealand", "hk": "Hong Kong", "s": "Singapore",
}  # fmt: skip
REAL = ("real", "reais", "centavo", "centavos")
"""R$, whose sign is that of the dollar."""
CURRENCY_CODES = {
    "usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩", "rub": "₽",
    "cad": "Canadian $", "aud": "Australian $", "nzd": "New Zealand $", "hkd": "Hong Kong $",
    "chf": "Swiss franc", "cny": "yuan", "sek": "Swedish krona", "nok": "Norwegian krone",
    "dkk": "Danish krone", "mxn": "Mexican peso", "brl": "Brazilian real", "pln": "Polish zloty",
}  # fmt: skip
MAGNITUDES = {
    "k": "thousand", "m": "million", "mn": "million", "mm": "million", "b": "billion", "bn": "billion",
    "t": "trillion", "tn": "trillion", "hundred": "hundred", "thousand": "thousand", "million": "million",
    "billion": "billion", "trillion": "trillion", "mil": "million",
}  # fmt: skip

UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "µm": "micrometer",
    "nm": "nanometer", "mi": "mile", "yd": "yard", "yds": "yard", "ft": "foot", "in": "inch",
    "kg": "kilogram", "g": "gram", "mg": "milligram", "µg": "microgram", "mcg": "microgram", "lb": "pound",
    "lbs": "pound", "oz": "ounce", "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter",
    "cl": "centiliter", "dl": "deciliter", "dL": "deciliter", "gal": "gallon", "qt": "quart", "pt": "pint",
    "tbsp": "tablespoon", "tsp": "teaspoon", "s": "second", "sec": "second", "secs": "second",
    "ms": "millisecond", "µs": "microsecond", "ns": "nanosecond", "min": "minute", "mins": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "yr": "year", "yrs": "year", "wk": "week", "wks": "week",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "THz": "terahertz",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "kWh": "kilowatt hour",
    "MWh": "megawatt hour", "Wh": "watt hour", "V": "volt", "kV": "kilovolt", "mV": "millivolt",
    "A": "amp", "mA": "milliamp", "mAh": "milliamp hour", "Ω": "ohm", "kΩ": "kilohm", "J": "joule",
    "kJ": "kilojoule", "N": "newton", "Pa": "pascal", "kPa": "kilopascal", "hPa": "hectopascal",
    "psi": "p s i", "bar": "bar", "cal": "calorie", "kcal": "kilocalorie", "dB": "decibel",
    "B": "byte", "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte",
    "PB": "petabyte", "KiB": "kibibyte", "MiB": "mebibyte", "GiB": "gibibyte", "kb": "kilobit",
    "Mb": "megabit", "Gb": "gigabit", "kbps": "kilobit per second", "Mbps": "megabit per second",
    "mbps": "megabit per second", "Gbps": "gigabit per second", "gbps": "gigabit per second",
    "MB/s": "megabyte per second", "GB/s": "gigabyte per second", "mph": "mile per hour",
    "kph": "kilometer per hour", "kmh": "kilometer per hour", "km/h": "kilometer per hour",
    "m/s": "meter per second", "ft/s": "foot per second", "rpm": "revolution per minute",
    "fps": "frame per second", "bpm": "beat per minute", "°C": "degree Celsius", "°F": "degree Fahrenheit",
    "°": "degree", "K": "kelvin", "m²": "square meter", "km²": "square kilometer",
    "cm²": "square centimeter", "ft²": "square foot", "m³": "cubic meter", "cm³": "cubic centimeter",
    "sqft": "square foot", "ha": "hectare", "px": "pixel", "dpi": "dot per inch", "ghz": "gigahertz",
    "mhz": "megahertz", "khz": "kilohertz", "hz": "hertz", "gb": "gigabyte", "mb": "megabyte",
    "tb": "terabyte", "kwh": "kilowatt hour", "db": "decibel", "kw": "kilowatt",
    "Kg": "kilogram", "KM": "kilometer",
}  # fmt: skip
"""As written (case counts: `mb` of the lower-case rows is what people mean by it) -> one of it."""
IRREGULAR = {
    "foot": "feet", "inch": "inches", "hertz": "hertz", "kilohertz": "kilohertz", "megahertz": "megahertz",
    "gigahertz": "gigahertz", "terahertz": "terahertz", "krona": "kronor", "krone": "kroner",
    "real": "reais", "yuan": "yuan", "p": "p", "kelvin": "kelvin", "century": "centuries",
}  # fmt: skip

TITLES = {
    "dr": "Doctor", "mr": "Mister", "mrs": "Missus", "ms": "Miz", "prof": "Professor", "rev": "Reverend",
    "hon": "Honorable", "gen": "General", "col": "Colonel", "capt": "Captain", "lt": "Lieutenant",
    "sgt": "Sergeant", "cpl": "Corporal", "sen": "Senator", "rep": "Representative", "gov": "Governor",
    "pres": "President", "mt": "Mount", "ft": "Fort", "messrs": "Messrs", "mx": "Mix",
}  # fmt: skip
"""Before a name; the stop never ends a sentence."""
ABBREVIATIONS = {
    "e.g": "for example", "eg": "for example", "i.e": "that is", "ie": "that is", "vs": "versus",
    "approx": "approximately", "dept": "department", "est": "established", "fig": "figure",
    "figs": "figures", "vol": "volume", "ch": "chapter", "sec": "section", "pp": "pages", "ed": "edition",
    "max": "maximum", "min": "minimum", "avg": "average", "temp": "temperature", "tel": "telephone",
    "ext": "extension", "apt": "apartment", "ave": "Avenue", "blvd": "Boulevard", "rd": "Road",
    "ln": "Lane", "hwy": "Highway", "pkwy": "Parkway", "bldg": "Building", "fl": "Floor", "ste": "Suite",
    "mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday", "thu": "Thursday",
    "thur": "Thursday", "thurs": "Thursday", "fri": "Friday", "sat": "Saturday", "sun": "Sunday",
    "a.k.a": "also known as", "cf": "compare", "viz": "namely", "w.r.t": "with respect to",
    "misc": "miscellaneous", "govt": "government", "intl": "international", "assn": "association",
    "incl": "including", "excl": "excluding", "hr": "hour", "hrs": "hours", "mins": "minutes",
    "esp": "especially", "orig": "originally", "ref": "reference", "qty": "quantity", "acct": "account",
    "appt": "appointment", "asst": "assistant", "mgr": "manager", "resp": "respectively",
}  # fmt: skip
"""With a full stop; the stop never ends a sentence unless CAN_END has the word too."""
CAN_END = {
    "etc": "et cetera", "inc": "Incorporated", "ltd": "Limited", "co": "Company", "corp": "Corporation",
    "jr": "Junior", "sr": "Senior", "bros": "Brothers", "al": "al", "ave": "Avenue", "blvd": "Boulevard",
    "rd": "Road", "ln": "Lane", "dept": "department", "govt": "government", "a.m": "", "p.m": "",
    "ste": "Suite", "max": "maximum", "min": "minimum", "bldg": "Building", "hrs": "hours", "mins": "minutes",
    "ph.d": "", "approx": "approximately", "hwy": "Highway",
}  # fmt: skip
"""Abbreviations that may stand last in a sentence (empty: read by another rule)."""
ALSO_WORDS = _set(
    "ed sat sun wed mon fri min max ref fig al co gen col rep sec est temp ch fl eg ie ste mar dec hon rev "
    "thu gov ms mt"
)
"""Abbreviations that are also words or names: read as such at the end of a sentence."""

CODE_WORDS = _set(
    "code pin account confirmation tracking reference ref extension zip serial ticket invoice id order "
    "passcode password isbn sku booking reservation flight"
)
"""A number of four digits or more after one of these is read digit by digit."""
CALL_WORDS = _set("call dial ring text phone calling dialing")
DECADE_WORDS = _set("the late early mid my your his her our their its pre post upper lower low high")
"""Two figures and an s after one of these are a decade and no seconds."""
YEAR_WORDS = _set("in since by from until till year of during circa before after summer winter fall spring")
NUMBERED_WORDS = _set(
    "vol ch fig pt "
    "chapter part act section volume book phase war type title article level class step stage grade appendix "
    "bowl episode season round group figure table unit mark paragraph scene"
)
"""A roman numeral after one of these is a cardinal."""
REGNAL_NAMES = _set(
    "henry louis elizabeth charles george edward james william richard pius benedict paul catherine philip "
    "napoleon john francis frederick alexander nicholas peter gregory leo urban clement innocent ferdinand "
    "alfonso margaret mary robert stephen wilhelm christian gustav ramesses xerxes darius ptolemy"
)
"""A roman numeral after one of these is an ordinal ("the eighth")."""

JOINERS = frozenset(
    [*MONTHS, *CURRENCY_CODES, *MAGNITUDES, *(unit.lower() for unit in UNITS),
     "am", "pm", "a.m", "p.m", "percent", "ext",
     "dollars", "dollar", "euros", "pounds", "cents", "of", "x", "–", "—", "-", "+", "=", "×", "÷", "/", "±",
     "°", "°c", "°f", "degrees", "", "sq"]
)  # fmt: skip
"""What may continue a number, a date or a price that stands before it."""
OPENERS = frozenset([*MONTHS, "no", "nos", "usd", "eur", "gbp", "+", "-", "±", "~"])
"""What may begin one without a digit or a sign of its own."""
SPELLED = _set("US UK EU UN UAE USA AI PC TV ID IT OK CV HR PR VP ER DNA PA AM PM IL CA GA VA WA AZ FL")
"""In capitals always said by the letters, though the dictionary has some of them as words."""
CONJUNCTIONS = _set(
    "and but or nor so yet because although though while when where which who that if unless until since "
    "after before as than then with without for from into through between about"
)
"""A long sentence may be cut before one of these."""
PER = {
    "hour": "hour", "hr": "hour", "h": "hour", "day": "day", "month": "month", "mo": "month", "year": "year",
    "yr": "year", "week": "week", "wk": "week", "user": "user", "person": "person", "seat": "seat",
    "night": "night", "lb": "pound", "kg": "kilogram", "min": "minute", "minute": "minute",
    "sec": "second", "second": "second", "s": "second", "unit": "unit", "item": "item", "gal": "gallon",
    "l": "liter",
    "L": "liter", "GB": "gigabyte", "kWh": "kilowatt hour", "sq ft": "square foot", "sqft": "square foot",
    "oz": "ounce",
}  # fmt: skip
"""What may follow a stroke after an amount: $20/month."""
SAID_AS_WORDS = _set(
    "JSON YAML CUDA LIDAR GIF MIDI IKEA SIRI NAFTA ASEAN OPEC UNICEF UNESCO FIFA UEFA COVID SCSI TOEFL"
)
"""Short acronyms that the dictionary may lack and everyone says as words."""
PLACE_WORDS = _set(
    "apt apartment room gate suite unit seat flat row floor building block bay exit terminal platform"
)
"""A letter behind a number after one of these is a letter."""
STATES = _set(
    "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny "
    "nc nd oh ok or "
    "pa ri sc sd tn tx ut vt va wa wv wi wy dc"
)
"""Five figures after one of these in capitals are a postal code."""
STARTERS = _set(
    "the a an it he she we i they you this that these those there here but and so if when what why how who "
    "where my our your his her its their in on at for from with then now please let is are was do did "
    "does can could "
    "would will after before however also as not no yes"
)
"""With a capital behind an abbreviation, one of these begins a sentence: "in the U.S. It is"."""
LINKERS = CONJUNCTIONS | _set(
    "the a an of at in on to my your his her our their its is are was were be i you we they he she it "
    "not very "
    "this these those some any no by per"
)
"""A sentence is not cut behind one of these."""
SHORT_FORMS = {
    "tsp": "teaspoon", "tbsp": "tablespoon", "oz": "ounces", "lbs": "pounds", "kg": "kilograms",
    "km": "kilometers", "cm": "centimeters", "mph": "miles per hour", "Apt": "apartment", "Ave": "Avenue",
    "Blvd": "Boulevard", "Dept": "Department", "Hwy": "Highway", "Rd": "Road",
}  # fmt: skip
"""Read in full without a full stop too, as written here."""
STOPPED = frozenset(
    (*TITLES, *ABBREVIATIONS, *CAN_END, *MONTHS, "st", *(unit.lower() for unit in UNITS if unit.isascii()))
)
"""What may stand before a full stop that ends no sentence."""
COMPASS = {"N": "North", "S": "South", "E": "East", "W": "West"}
"""In an address, behind the number of a house."""
