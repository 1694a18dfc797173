"""Sentences a voice agent says, drawn from templates: greetings, times, prices, codes, short answers.

Written for this project; free under its licence. Must not live here: text from anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_GIVEN = """
    Alice Robert Maria James Linda David Susan Michael Karen Daniel Emma Thomas Sarah Peter Laura Kevin
    Nancy Brian Julia Steven Amy George Helen Mark Diana Paul Ruth Eric Olivia Henry Grace Frank Clara
"""
GIVEN = tuple(_GIVEN.split())
_FAMILY = """
    Smith Johnson Brown Taylor Miller Wilson Moore Anderson Jackson White Harris Martin Thompson Garcia
    Robinson Clark Lewis Walker Young King Wright Hill Scott Green Baker Adams Nelson Carter Mitchell
    Cooper
"""
FAMILY = tuple(_FAMILY.split())
STREETS = [
    "Main",
    "Oak",
    "Pine",
    "Maple",
    "Cedar",
    "Elm",
    "Washington",
    "Lake",
    "Hill",
    "Park",
    "River",
    "Church",
    "Spring",
    "Market",
    "North",
    "Bridge",
]
WAYS = ["Street", "Avenue", "Road", "Lane", "Drive", "Court", "Boulevard", "Place"]
_CITIES = (
    "Boston|Chicago|Denver|Seattle|Dallas|Portland|Atlanta|Houston|Phoenix|Austin|London|"
    "Paris|Dublin|New York|San Francisco|Los Angeles|Philadelphia|Toronto|Sydney|Berlin"
)
CITIES = tuple(_CITIES.split("|"))
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = """
    January February March April May June July August September October November December
"""
MONTHS = tuple(_MONTHS.split())
_ORDINALS = """
    first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
    fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
"""
ORDINALS = tuple(_ORDINALS.split())
_THINGS = (
    "order|account|payment|appointment|reservation|package|invoice|password|subscription|refund|"
    "ticket|flight|delivery|prescription|meeting|phone number|email address|credit card|policy|"
    "request|room|insurance claim|statement|battery|table|laptop|printer|contract|router|"
    "membership"
)
THINGS = tuple(_THINGS.split("|"))
_ACTIONS = (
    "check that|look into that|find your {thing}|cancel your {thing}|update your {thing}|call you "
    "back|confirm your {thing}|send you a message|reset your {thing}|change your {thing}|read that "
    "back to you|transfer you to a colleague|open a new {thing}|book a {thing}|explain the next step|"
    "speak more slowly"
)
ACTIONS = tuple(_ACTIONS.split("|"))
_SHORT = (
    "Yes.|No.|Okay.|Sure.|Hello.|Hi.|Hi there.|Goodbye.|Bye.|Thanks.|Thank you.|Thank you very "
    "much.|Please.|Sorry.|I'm sorry.|One moment.|One moment, please.|Just a second.|Of course.|"
    "Certainly.|Great.|Perfect.|All right.|Right.|I see.|Got it.|Exactly.|Absolutely.|Not yet.|"
    "Maybe.|Why?|What?|When?|Where?|Who?|How?|Really?|Pardon?|Are you there?|Can you hear me?|"
    "Go ahead.|Take your time.|You're welcome.|No problem.|Good morning.|Good afternoon.|Good "
    "evening.|Good night.|Well done!|Wonderful!|Congratulations!|Welcome!|Welcome back.|Let me "
    "see.|Let me check.|Hold on.|Stop.|Wait.|Help.|Done.|Next.|Correct.|That's right.|That's "
    "fine.|I understand.|I don't know.|Is that all?|Anything else?|Yes, please.|No, thank you.|"
    "Oh!|Ah.|Hmm.|Hooray!|Today.|Tomorrow.|Now.|Later.|Soon.|Never.|Always.|Almost.|Here you "
    "are.|See you soon."
)
SHORT = tuple(_SHORT.split("|"))
OPENERS = (
    "",
    "",
    "",
    "Okay, ",
    "Sure, ",
    "Thank you, ",
    "All right, ",
    "Yes, ",
    "No problem, ",
    "Great, ",
    "Sorry, ",
)
_UNITS = """
    one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty
"""
UNITS = tuple(_UNITS.split())
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def name(r: Random) -> str:
    """A person, with or without a family name."""
    return r.choice(GIVEN) if r.random() < 0.5 else f"{r.choice(GIVEN)} {r.choice(FAMILY)}"


def number(r: Random) -> str:
    """A whole number of one to six digits, small ones more often."""
    return str(r.randrange(10 ** r.choice((1, 2, 2, 2, 3, 3, 4, 5, 6))))


def clock(r: Random) -> str:
    """A time of day in words, as a text front end would write it."""
    hour = r.choice(UNITS[:12])
    return r.choice(
        (f"{hour} o'clock", f"half past {hour}", f"{hour} {r.choice(UNITS[9:])}", f"a quarter to {hour}")
    )


def date(r: Random) -> str:
    """A day, with or without its weekday."""
    month = r.choice(MONTHS)
    days = (r.choice(ORDINALS), r.choice(ORDINALS), f"twenty {r.choice(ORDINALS[:9])}")
    day = f"{month} {r.choice(days)}"
    return day if r.random() < 0.5 else f"{r.choice(DAYS)}, {day}"


def money(r: Random) -> str:
    """An amount in words."""
    amount = f"{number(r)} {r.choice(('dollars', 'dollars', 'euros', 'pounds'))}"
    return amount if r.random() < 0.5 else f"{amount} and {r.randrange(2, 99)} cents"


def digits(r: Random) -> str:
    """Digits read one by one, in groups."""
    groups = [
        " ".join(r.choice("0123456789") for _ in range(r.choice((3, 3, 4))))
        for _ in range(r.choice((1, 2, 3)))
    ]
    return ", ".join(groups)


def spelled(r: Random) -> str:
    """Letters read one by one."""
    return ", ".join(r.choice(LETTERS) for _ in range(r.randrange(2, 6)))


def address(r: Random) -> str:
    """A street address."""
    return f"{r.randrange(1, 2000)} {r.choice(STREETS)} {r.choice(WAYS)}, {r.choice(CITIES)}"


FILLERS: dict[str, Callable[[Random], str]] = {
    "name": name,
    "number": number,
    "clock": clock,
    "date": date,
    "money": money,
    "digits": digits,
    "spelled": spelled,
    "address": address,
    "city": lambda r: r.choice(CITIES),
    "day": lambda r: r.choice(DAYS),
    "unit": lambda r: r.choice(UNITS),
    "thing": lambda r: r.choice(THINGS),
    "letter": lambda r: r.choice(LETTERS),
}

TEMPLATES = tuple(
    line.strip()
    for line in """
    Hello {name}, how can I help you today?
    Hi, this is {name} calling about your {thing}.
    Good morning, {name}. Your {thing} is ready.
    Thank you for calling, {name}. How may I help?
    Your appointment is on {date} at {clock}.
    Would {day} at {clock} work for you?
    I have an opening on {date}, at {clock}. Shall I book it?
    The doctor can see you on {day} at {clock}.
    That will be {money} in total.
    The total comes to {money}.
    Your balance is {money}, due on {date}.
    We charged {money} to the card ending in {digits}.
    Your confirmation code is {spelled}, {digits}.
    Could you spell your last name for me?
    That is {spelled}, is that correct?
    Your number is {digits}.
    Did you say {number} or {number}?
    Please say or enter the last four digits of your {thing}.
    The address I have is {address}.
    Is {address} still your current address?
    It will arrive on {date} between {clock} and {clock}.
    The flight to {city} leaves at {clock} from gate {letter} {number}.
    Turn left on Main Road, then drive for {number} miles.
    The weather in {city} is {unit} degrees and cloudy.
    There are {number} items in your cart.
    Your {thing} and your {thing} will be sent together.
    Do you want to keep the {thing}, or should I cancel it?
    What is the reason for your call about the {thing}?
    When would you like to come in?
    Which {thing} do you mean, the first or the second?
    Why was my {thing} declined?
    How many people will be in your party?
    I could not find a {thing} under that name.
    I'm afraid the {thing} is no longer available.
    I've updated your {thing}; you should see it within {number} minutes.
    If you have the {thing} nearby, please read me the number: it begins with {letter}.
    First, restart the {thing}; then wait {unit} seconds and try again.
    Please press {unit} for {city}, or {unit} for an operator.
    We are open from {clock} to {clock}, {day} to {day}.
    You are number {number} in the queue.
    The meeting with {name} was moved to {day}.
    {name} from {city} left you a message.
    Please tell {name} that the {thing} has not arrived.
    It's {clock} in {city}.
    Chapter {number}, page {number}.
    Room {number}, on the {unit}th floor.
    The code is {letter} {number} {letter}.
    Nice work! You finished {number} lessons this week.
    Be careful! The {thing} may be hot.
    Let me {action}.
    I will {action} right away.
    Would you like me to {action}?
    I can {action}, if you like.
    Shall I {action} now, or later today?
    Before I {action}, may I have your name?
    {name} will {action} on {day}.
    Please hold the line while I {action}.
    We're sorry for the trouble with your {thing}.
    Is there anything else I can do for you today, {name}?
    Thanks for waiting, {name}. I found your {thing}.
    """.strip().splitlines()
)


def phrase(r: Random) -> str:
    """One sentence a voice agent might say, [1..25] words."""
    if r.random() < 0.06:
        return r.choice(SHORT)
    if r.random() < 0.06:
        filler = r.choice(("name", "number", "clock", "date", "money", "digits", "spelled", "city", "day"))
        return FILLERS[filler](r).capitalize() + r.choice("...?")
    sentence = r.choice(TEMPLATES).replace("{action}", r.choice(ACTIONS))
    for slot, fill in FILLERS.items():
        while "{" + slot + "}" in sentence:
            sentence = sentence.replace("{" + slot + "}", fill(r), 1)
    opener = r.choice(OPENERS)
    return opener + sentence if opener else sentence[0].upper() + sentence[1:]
